// A buyer in headless Chromium: `node pay_in_browser.mjs APPROVE_URL FOLDER` approves the payment, leaves a picture of
// each page in the folder, and prints where it came to, what stands there and when it clicked as JSON.
import path from "node:path";
import { chromium } from "playwright-core";

const [approveUrl, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
await page.goto(approveUrl);
await page.screenshot({ path: path.join(folder, "approve.png") });
const clickedAtMs = Date.now();
await page.getByRole("button", { name: "Pay now" }).click();
await page.waitForURL((url) => !url.href.startsWith(new URL(approveUrl).origin));
await page.screenshot({ path: path.join(folder, "returned.png") });
console.log(JSON.stringify({ url: page.url(), text: await page.innerText("body"), clicked_at_ms: clickedAtMs }));
await browser.close();
