// Sets the chosen theme before the first paint, so that nothing flashes.
try {
  const theme = localStorage.getItem("cairn-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is closed to us: the system's theme holds.
}
