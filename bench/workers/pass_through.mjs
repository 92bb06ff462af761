// What nothing can undercut: the runtime fetches the provider with the caller's own body, and answers with its answer.
export default {
  fetch(request, { UPSTREAM }) {
    return fetch(`${UPSTREAM}/chat/completions`, { method: "POST", headers: request.headers, body: request.body });
  },
};
