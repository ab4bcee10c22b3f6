// Requests to the routes of the page.

export const pageUrl = location.pathname.replace(/\/+$/, "");

export const request = async (path) => {
  // The query says which iteration of a loop the page is about.
  const query = path.includes("?") ? location.search.replace("?", "&") : location.search;
  const response = await fetch(pageUrl + path + query, { credentials: "same-origin", cache: "no-store" });
  if (!response.ok) throw Object.assign(new Error(`${response.status}`), { status: response.status });
  return response;
};

export const requestText = async (path) => (await request(path)).text();

// The server escapes all values, and a parsed document runs no scripts.
export const parseHtml = (html) => new DOMParser().parseFromString(html, "text/html");
