// Owns whether the page is dark or light: what the operator has chosen, or else what the system says.
"use strict";
try {
  const chosen = localStorage.getItem("thingmint-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser may keep nothing: the system decides then.
}
