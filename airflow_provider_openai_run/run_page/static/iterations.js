// Follows the iteration of a loop that Airflow shows around the page.

import { pageUrl } from "./server.js";

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
  if (document.getElementById("run").dataset.iterations < 2 || iteration === shownIteration) return;
  shownIteration = iteration;
  if (iteration && iteration !== location.search) location.replace(pageUrl + iteration);
};

if (parent !== window) {
  followIterationOfFrame();
  setInterval(followIterationOfFrame, 1000);
}
