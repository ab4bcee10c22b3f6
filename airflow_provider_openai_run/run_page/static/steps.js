// The lists of steps and rounds: filter, search, "go to step", links into them, and arrow keys.

import { request } from "./server.js";

const SEARCH_DELAY = 250;
const FAILED_ONLY = "failed-only";

// What is chosen outlives a refresh of the page.
let chosenStatus = "";
let searchText = "";
let found = null;
let timer = 0;

const getForm = () => document.querySelector("[data-filters]");
const getSteps = () => document.querySelectorAll("ol.steps > li");

const matches = (step) => {
  if (found !== null && !found.has(step.id)) return false;
  if (chosenStatus === "") return true;
  return chosenStatus === FAILED_ONLY ? "failed" in step.dataset : `status-${step.dataset.status}` === chosenStatus;
};

const applyFilters = () => {
  const form = getForm();
  if (!form) return;
  let shown = 0;
  for (const step of getSteps()) {
    step.hidden = !matches(step);
    if (!step.hidden) shown += 1;
  }
  for (const button of form.querySelectorAll("button[data-status]")) {
    button.setAttribute("aria-pressed", String(button.dataset.status === chosenStatus));
  }
  const isFiltered = chosenStatus !== "" || found !== null;
  form.querySelector("[data-matches]").textContent = isFiltered ? `${shown.toLocaleString("en")} shown` : "";
};

const search = async () => {
  const text = searchText.trim();
  if (!text) {
    found = null;
    applyFilters();
    return;
  }
  try {
    const numbers = await (await request(`/search?text=${encodeURIComponent(text)}`)).json();
    if (text !== searchText.trim()) return;
    found = new Set(numbers.map((number) => `step-${number}`));
    applyFilters();
  } catch (error) {
    getForm().querySelector("[data-matches]").textContent = `Could not search (${error.message})`;
  }
};

const goToStep = (number) => {
  if (!document.getElementById(`step-${number}`)) return;
  if (location.hash === `#step-${number}`) openLinkedItem();
  else location.hash = `#step-${number}`;
};

export const prepareSteps = () => {
  const form = getForm();
  if (!form) return;
  form.elements.text.value = searchText;
  if (searchText.trim()) search();
  applyFilters();
};

export const openLinkedItem = () => {
  const item = /^#(step|round)-\d+$/.test(location.hash) && document.querySelector(location.hash);
  if (!item) return;
  item.hidden = false;
  const details = item.querySelector("details");
  details.open = true;
  item.scrollIntoView({ block: "center" });
  details.querySelector("summary").focus({ preventScroll: true });
};

addEventListener("hashchange", openLinkedItem);

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#step-"], a[href^="#round-"]');
  // A second click on the same link changes nothing in the address.
  if (link && link.getAttribute("href") === location.hash) openLinkedItem();
  const button = event.target.closest("button[data-status]");
  if (!button) return;
  chosenStatus = button.dataset.status;
  applyFilters();
});

const onInput = (event) => {
  if (event.target.name !== "text" || event.target.value === searchText) return;
  searchText = event.target.value;
  clearTimeout(timer);
  timer = setTimeout(search, SEARCH_DELAY);
};
document.addEventListener("input", onInput);
document.addEventListener("change", onInput);

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const number = event.target.elements.number;
  if (number && number.value) goToStep(number.value);
});

const moveFocus = (summary, toPrevious) => {
  let item = summary.closest("li");
  do item = toPrevious ? item.previousElementSibling : item.nextElementSibling;
  while (item && item.hidden);
  if (item) item.querySelector("summary").focus();
};

document.addEventListener("keydown", (event) => {
  const summary = event.target.closest("ol.list > li > details > summary");
  if (!summary || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
  event.preventDefault();
  moveFocus(summary, event.key === "ArrowUp");
});
