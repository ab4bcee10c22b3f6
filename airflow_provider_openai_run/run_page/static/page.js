// Fetches what the page leaves out at first, copies, and keeps the page up to date while its task goes on.
"use strict";
(() => {
  const SECONDS_BETWEEN_LOOKS = 3;
  const MOST_SECONDS_BETWEEN_LOOKS = 60;
  const here = location.pathname.replace(/\/+$/, "");

  const run = () => document.getElementById("run");
  const get = async (path) => {
    const answer = await fetch(here + path, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(`${answer.status}`), { status: answer.status });
    return answer;
  };
  // What the server has escaped; a document that is only parsed runs nothing.
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  const wording = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    const two = (number) => String(number).padStart(2, "0");
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  };

  // The server's clock counts, not this machine's.
  const aheadOf = (main) => Date.now() / 1000 - Number(main.dataset.now);
  let ahead = aheadOf(run());
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-since]")) {
      element.textContent = wording(Date.now() / 1000 - ahead - Number(element.dataset.since));
    }
  }, 1000);

  const load = async (details) => {
    const target = details.querySelector(".blocks");
    try {
      const html = await (await get(`/step/${details.dataset.step}`)).text();
      target.replaceChildren(...parsed(html).body.childNodes);
    } catch (error) {
      target.textContent = `Could not be fetched (${error.message}).`;
      return;
    }
    delete details.dataset.step;
  };

  const loadRaw = async (details) => {
    const target = details.querySelector("pre");
    try {
      target.textContent = await (await get("/raw")).text();
    } catch (error) {
      target.textContent = `Could not be fetched (${error.message}).`;
    }
  };

  document.addEventListener(
    "toggle",
    (event) => {
      const details = event.target;
      if (!details.open) return;
      if (details.dataset.step) load(details);
      if ("raw" in details.dataset) loadRaw(details);
    },
    true,
  );

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS, or in a frame that may not: the old way.
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
      await copy(button.dataset.copy);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    } else if ("copyRaw" in button.dataset) {
      await copy(document.getElementById("raw-json").textContent);
      button.textContent = "Copied";
    } else if (button.dataset.text) {
      button.disabled = true;
      try {
        button.previousElementSibling.textContent = await (await get(`/text/${button.dataset.text}`)).text();
        button.remove();
      } catch (error) {
        button.textContent = `Could not be fetched (${error.message})`;
      }
    }
  });

  const showStep = () => {
    const step = /^#step-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!step) return;
    step.querySelector("details").open = true;
    step.scrollIntoView({ block: "nearest" });
  };
  addEventListener("hashchange", showStep);
  showStep();

  const renew = async () => {
    const fresh = parsed(await (await get("")).text()).getElementById("run");
    const open = [...document.querySelectorAll("li[id] > details[open]")].map((one) => one.parentElement.id);
    const isRawOpen = document.querySelector("[data-raw][open]") !== null;
    run().replaceWith(document.adoptNode(fresh));
    ahead = aheadOf(run());
    for (const id of open) {
      const details = document.querySelector(`#${CSS.escape(id)} > details`);
      if (details) details.open = true;
    }
    if (isRawOpen && document.querySelector("[data-raw]")) document.querySelector("[data-raw]").open = true;
  };

  const say = (text) => {
    const live = document.getElementById("live");
    if (live) live.textContent = text;
  };

  let failures = 0;
  const look = async () => {
    if (run().dataset.live !== "yes") return;
    if (!document.hidden) {
      try {
        const now = await (await get("/state")).json();
        if (now.version !== run().dataset.version) await renew();
        failures = 0;
      } catch (error) {
        if (error.status === 401 || error.status === 403 || error.status === 404) {
          say(error.status === 401 ? "signed out; reload the page" : "no longer to be seen");
          return;
        }
        failures += 1;
        say("Airflow does not answer; asking again");
      }
    }
    const wait = Math.min(SECONDS_BETWEEN_LOOKS * 2 ** failures, MOST_SECONDS_BETWEEN_LOOKS);
    setTimeout(look, wait * 1000);
  };
  setTimeout(look, SECONDS_BETWEEN_LOOKS * 1000);
})();
