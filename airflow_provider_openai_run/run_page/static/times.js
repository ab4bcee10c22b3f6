// Times in the time zone that the reader has chosen in Airflow, or else the browser's, and the running clock.

const chosenZone = () => {
  try {
    const stored = localStorage.getItem("timezone");
    return stored && JSON.parse(stored);
  } catch {
    // A browser can deny storage to a page in a frame, and an older Airflow stores plain text.
    return null;
  }
};

const newFormat = () => {
  const options = { dateStyle: "medium", timeStyle: "long" };
  try {
    return new Intl.DateTimeFormat(undefined, { ...options, timeZone: chosenZone() || undefined });
  } catch {
    return new Intl.DateTimeFormat(undefined, options);
  }
};

export const localizeTimes = () => {
  const format = newFormat();
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.textContent = format.format(new Date(element.dateTime));
  }
};

const formatDuration = (seconds) => {
  const total = Math.max(0, Math.round(seconds));
  const pad = (number) => String(number).padStart(2, "0");
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${pad(total % 60)} s`;
  return `${Math.floor(total / 3600)} h ${pad(Math.floor(total / 60) % 60)} min`;
};

// The difference between this machine's clock and the server's, in seconds.
let clockOffset = 0;
export const measureClock = () => {
  clockOffset = Date.now() / 1000 - Number(document.getElementById("run").dataset.now);
};
measureClock();

setInterval(() => {
  const now = Date.now() / 1000 - clockOffset;
  for (const element of document.querySelectorAll("[data-running-since]")) {
    element.textContent = formatDuration(now - Number(element.dataset.runningSince));
  }
}, 1000);
