// Reports once when the advertisement around this script was in view: half of its pixels (30 % of a large one) for one
// second without a break, in a page that is looked at. It reads and stores nothing else.
(function () {
  var own = document.currentScript;
  if (!own || !window.IntersectionObserver) return;
  var address = own.src.replace(/\.js(?=\?|$)/, ".gif");
  var block = own.parentElement;
  if (!block || block === document.body || block === document.head) block = document.documentElement;
  var inView = false;
  var timer = 0;
  var observer = new IntersectionObserver(
    function (entries) {
      var entry = entries[entries.length - 1];
      var area = entry.boundingClientRect.width * entry.boundingClientRect.height;
      inView = area > 1 && entry.intersectionRatio >= (area >= 242500 ? 0.3 : 0.5);
      judge();
    },
    { threshold: [0, 0.3, 0.5, 0.75, 1] },
  );
  function judge() {
    var counts = inView && document.visibilityState === "visible";
    if (counts && !timer) timer = setTimeout(report, 1000);
    if (!counts && timer) timer = clearTimeout(timer) || 0;
  }
  function report() {
    observer.disconnect();
    document.removeEventListener("visibilitychange", judge);
    new Image().src = address + (address.indexOf("?") < 0 ? "?" : "&") + "v=1";
  }
  document.addEventListener("visibilitychange", judge);
  observer.observe(block);
})();
