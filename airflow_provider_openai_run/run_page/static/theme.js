// Takes the theme of the Airflow UI around the page, which keeps it in the local storage; else the system's.
"use strict";
(() => {
  const root = document.documentElement;
  const take = () => {
    let theme = null;
    try {
      theme = localStorage.getItem("theme");
    } catch {
      // A browser may refuse it to a page in a frame.
    }
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  take();
  addEventListener("storage", take);
})();
