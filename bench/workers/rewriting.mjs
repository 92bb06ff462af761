// Passes through, but reads the body and names another model in it, as whoever routes by the model must.
export default {
  async fetch(request, { UPSTREAM }) {
    const call = await request.json();
    call.model = "deepseek-flash";
    const headers = { "content-type": "application/json", authorization: "Bearer bench" };
    return fetch(`${UPSTREAM}/chat/completions`, { method: "POST", headers, body: JSON.stringify(call) });
  },
};
