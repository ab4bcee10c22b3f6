// Applies the theme of the Airflow UI, which stores it in local storage; without one, the system's theme applies.
"use strict";
(() => {
  const root = document.documentElement;
  const applyTheme = () => {
    let theme = null;
    try {
      theme = localStorage.getItem("theme");
    } catch {
      // A browser can deny storage to a page in a frame.
    }
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  applyTheme();
  addEventListener("storage", applyTheme);
})();
