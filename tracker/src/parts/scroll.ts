// How far down the page was seen: 1 to 100 percent, told with the engagement reports.

import type { Part } from "../settings";

const scroll: Part = (_record, watch) => {
  let lowestPixel = 0;
  let reportedPercent = 0;
  const look = () => {
    lowestPixel = Math.max(lowestPixel, scrollY + innerHeight);
  };
  addEventListener("scroll", look, { passive: true });
  watch((report) => {
    if (!report) {
      // The place that was left is scrolled back only after the new one was told.
      lowestPixel = reportedPercent = 0;
      requestAnimationFrame(look);
      return;
    }
    look();
    const { scrollHeight } = document.scrollingElement || document.documentElement;
    const percent = Math.min(100, Math.max(1, Math.round((lowestPixel / scrollHeight) * 100)));
    if (percent > reportedPercent) report["scroll_percent"] = reportedPercent = percent;
  });
};

export default scroll;
