// Loads deferred content, and refreshes the page while its task can still change.

import "./copy.js";
import "./iterations.js";
import "./links.js";
import { parseHtml, request, requestText } from "./server.js";
import { openLinkedItem, prepareSteps } from "./steps.js";
import { localizeTimes, measureClock } from "./times.js";

const POLL_SECONDS = 3;
const MAX_POLL_SECONDS = 60;

const getMain = () => document.getElementById("run");

const loadStep = async (details) => {
  const target = details.querySelector(".blocks");
  try {
    const html = await requestText(`/step/${details.dataset.loadStep}`);
    target.replaceChildren(...parseHtml(html).body.childNodes);
  } catch (error) {
    target.textContent = `Could not load the step (${error.message}).`;
    return;
  }
  delete details.dataset.loadStep;
};

const loadRaw = async (details) => {
  const target = details.querySelector("pre");
  try {
    target.textContent = await requestText("/raw");
  } catch (error) {
    target.textContent = `Could not load the raw JSON (${error.message}).`;
  }
};

const loadFullText = async (button) => {
  button.disabled = true;
  try {
    const text = document.createElement("pre");
    const shown = button.previousElementSibling;
    text.className = shown.tagName === "PRE" ? shown.className : "code";
    text.textContent = await requestText(`/text/${button.dataset.loadText}`);
    shown.replaceWith(text);
    button.remove();
  } catch (error) {
    button.disabled = false;
    button.textContent = `Could not load the full text (${error.message}); try again`;
  }
};

document.addEventListener(
  "toggle",
  (event) => {
    const details = event.target;
    if (!details.open) return;
    if (details.dataset.loadStep) loadStep(details);
    if ("loadRaw" in details.dataset) loadRaw(details);
  },
  true,
);

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && button.dataset.loadText) loadFullText(button);
});

const nameOf = (details) => details.id || (details.parentElement && details.parentElement.id);

const refresh = async () => {
  const main = parseHtml(await requestText("")).getElementById("run");
  const openNames = new Set([...document.querySelectorAll("details[open]")].map(nameOf));
  const focused = document.activeElement && document.activeElement.closest("details");
  const focusedName = focused && nameOf(focused);
  getMain().replaceWith(document.adoptNode(main));
  measureClock();
  localizeTimes();
  prepareSteps();
  for (const details of main.querySelectorAll("details")) {
    const name = nameOf(details);
    if (!name) continue;
    if (openNames.has(name)) details.open = true;
    if (name === focusedName) details.querySelector("summary").focus({ preventScroll: true });
  }
};

const setLiveText = (text) => {
  const live = document.getElementById("live");
  if (live) live.textContent = text;
};

let failures = 0;
const poll = async () => {
  if (getMain().dataset.live !== "yes") return;
  if (!document.hidden) {
    try {
      const state = await (await request("/state")).json();
      if (state.version !== getMain().dataset.version) await refresh();
      failures = 0;
    } catch (error) {
      if (error.status === 401 || error.status === 403 || error.status === 404) {
        setLiveText(error.status === 401 ? "signed out; reload the page" : "no longer available");
        return;
      }
      failures += 1;
      setLiveText("Airflow is not responding; retrying");
    }
  }
  setTimeout(poll, Math.min(POLL_SECONDS * 2 ** failures, MAX_POLL_SECONDS) * 1000);
};

localizeTimes();
prepareSteps();
openLinkedItem();
setTimeout(poll, POLL_SECONDS * 1000);
