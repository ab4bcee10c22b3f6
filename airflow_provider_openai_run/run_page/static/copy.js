// The buttons that copy an id, a text or the raw JSON.

import { requestText } from "./server.js";

const writeClipboard = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard API needs TLS, and a permission in a frame.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};

const textFor = async (button) => {
  if ("copy" in button.dataset) return button.dataset.copy;
  if ("copyText" in button.dataset) return requestText(`/text/${button.dataset.copyText}`);
  return document.getElementById("raw-json").textContent;
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text], [data-copy-raw]");
  if (!button) return;
  event.preventDefault();
  const label = button.title;
  try {
    await writeClipboard(await textFor(button));
    button.classList.add("copied");
    button.title = "Copied";
  } catch (error) {
    button.title = `Could not copy (${error.message})`;
  }
  setTimeout(() => {
    button.classList.remove("copied");
    button.title = label;
  }, 1500);
});
