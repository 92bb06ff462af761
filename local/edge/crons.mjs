// Fires the crons of wrangler.toml, which Miniflare knows but does not time.

const FIELDS = [
  { read: (time) => time.getUTCMinutes(), first: 0, last: 59 },
  { read: (time) => time.getUTCHours(), first: 0, last: 23 },
  { read: (time) => time.getUTCDate(), first: 1, last: 31 },
  { read: (time) => time.getUTCMonth() + 1, first: 1, last: 12 },
  { read: (time) => time.getUTCDay() + 1, first: 1, last: 7 }, // Cloudflare counts from Sunday, which is 1
];

/** Whether a cron of five numeric fields (`*`, `a`, `a-b`, `a,b`, each with `/step`) names this minute, in UTC. */
export function isDue(cron, time) {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== FIELDS.length) throw new Error(`not a cron of five fields: ${cron}`);
  const due = fields.map((field, index) => {
    const { read, first, last } = FIELDS[index];
    return field.split(",").some((part) => includes(part, read(time), first, last));
  });
  return due.every(Boolean);
}

function includes(part, value, first, last) {
  const match = /^(?:\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(part);
  if (!match) throw new Error(`not understood in a cron: ${part}`);
  const [, from = first, to = match[1] && !match[3] ? from : last, step = 1] = match;
  return value >= +from && value <= +to && (value - from) % step === 0;
}

/** Calls `fire(cron, time)` at the start of every minute in which a cron is due; never keeps the process alive. */
export function startCrons(crons, fire) {
  crons.forEach((cron) => isDue(cron, new Date())); // an error in a cron shows at start-up
  const wait = () => setTimeout(tick, 60_000 - (Date.now() % 60_000)).unref();
  const tick = () => {
    const time = new Date(Math.round(Date.now() / 60_000) * 60_000);
    for (const cron of crons) if (isDue(cron, time)) fire(cron, time);
    wait();
  };
  wait();
}
