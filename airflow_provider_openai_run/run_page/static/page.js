// Loads deferred content, copies values, and refreshes the page while its task is running.
"use strict";
(() => {
  const POLL_SECONDS = 3;
  const MAX_POLL_SECONDS = 60;
  const pageUrl = location.pathname.replace(/\/+$/, "");

  const getMain = () => document.getElementById("run");
  const request = async (path) => {
    const response = await fetch(pageUrl + path + location.search, { credentials: "same-origin", cache: "no-store" });
    if (!response.ok) throw Object.assign(new Error(`${response.status}`), { status: response.status });
    return response;
  };
  // The server escapes all values, and a parsed document runs no scripts.
  const parseHtml = (html) => new DOMParser().parseFromString(html, "text/html");

  const formatDuration = (seconds) => {
    const total = Math.max(0, Math.round(seconds));
    const pad = (number) => String(number).padStart(2, "0");
    if (total < 60) return `${total} s`;
    if (total < 3600) return `${Math.floor(total / 60)} min ${pad(total % 60)} s`;
    return `${Math.floor(total / 3600)} h ${pad(Math.floor(total / 60) % 60)} min`;
  };

  // The difference between this machine's clock and the server's, in seconds.
  const measureClockOffset = () => Date.now() / 1000 - Number(getMain().dataset.now);
  let clockOffset = measureClockOffset();
  setInterval(() => {
    const now = Date.now() / 1000 - clockOffset;
    for (const element of document.querySelectorAll("[data-running-since]")) {
      element.textContent = formatDuration(now - Number(element.dataset.runningSince));
    }
  }, 1000);

  const loadStep = async (details) => {
    const target = details.querySelector(".blocks");
    try {
      const html = await (await request(`/step/${details.dataset.loadStep}`)).text();
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
      target.textContent = await (await request("/raw")).text();
    } catch (error) {
      target.textContent = `Could not load the raw JSON (${error.message}).`;
    }
  };

  const loadFullText = async (button) => {
    button.disabled = true;
    try {
      const text = await (await request(`/text/${button.dataset.loadText}`)).text();
      button.previousElementSibling.textContent = text;
      button.remove();
    } catch (error) {
      button.textContent = `Could not load the full text (${error.message})`;
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

  const copyText = async (text) => {
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

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if ("copy" in button.dataset) {
      event.preventDefault();
      await copyText(button.dataset.copy);
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1500);
    } else if ("copyRaw" in button.dataset) {
      await copyText(document.getElementById("raw-json").textContent);
      button.textContent = "Copied";
    } else if (button.dataset.loadText) {
      await loadFullText(button);
    }
  });

  const openLinkedStep = () => {
    const step = /^#step-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!step) return;
    step.querySelector("details").open = true;
    step.scrollIntoView({ block: "nearest" });
  };
  addEventListener("hashchange", openLinkedStep);
  openLinkedStep();

  const refresh = async () => {
    const main = parseHtml(await (await request("")).text()).getElementById("run");
    const openIds = [...document.querySelectorAll("li[id] > details[open]")].map((item) => item.parentElement.id);
    const isRawOpen = document.querySelector("[data-load-raw][open]") !== null;
    getMain().replaceWith(document.adoptNode(main));
    clockOffset = measureClockOffset();
    for (const id of openIds) {
      const details = document.querySelector(`#${CSS.escape(id)} > details`);
      if (details) details.open = true;
    }
    const raw = document.querySelector("[data-load-raw]");
    if (isRawOpen && raw) raw.open = true;
  };

  // Airflow's URL of the tab has no placeholder for the iteration of a loop, but its own address has the iteration.
  const readIterationOfFrame = () => {
    try {
      const query = new URLSearchParams(parent.location.search);
      const [id, index] = [query.get("region_id"), query.get("region_index")];
      return id && index ? `?${new URLSearchParams({ region_id: id, region_index: index })}` : "";
    } catch {
      return ""; // A frame of another origin.
    }
  };
  let shownIteration = location.search ? readIterationOfFrame() : "";
  const followIterationOfFrame = () => {
    const iteration = readIterationOfFrame();
    if (getMain().dataset.iterations < 2 || iteration === shownIteration) return;
    shownIteration = iteration;
    if (iteration && iteration !== location.search) location.replace(pageUrl + iteration);
  };
  if (parent !== window) {
    followIterationOfFrame();
    setInterval(followIterationOfFrame, 1000);
  }

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
  setTimeout(poll, POLL_SECONDS * 1000);
})();
