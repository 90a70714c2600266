import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer } from "../../src/lib/api/client.ts";
import {
  CAMPAIGN_METRICS,
  PERIODS,
  ROWS,
  amountText,
  campaignQuestions,
  figureText,
  notesOf,
  readCampaignView,
  writeCampaignView,
} from "../../src/lib/campaigns.ts";

test("the address of the page about campaigns is its state", () => {
  const plain = readCampaignView("");
  assert.equal(writeCampaignView(plain), "");
  for (const period of PERIODS)
    for (const by of ROWS)
      for (const sort of CAMPAIGN_METRICS)
        for (const ascending of [false, true]) {
          const view = { period, by, goal: "Sign & up", sort, ascending };
          assert.deepEqual(readCampaignView(writeCampaignView(view)), view);
        }
  assert.deepEqual(readCampaignView("?period=2d&by=country&sort=name&order=up"), plain);
});

test("rows and their total ask the same", () => {
  const { rows, total } = campaignQuestions(
    "1",
    readCampaignView("?goal=Signup&sort=roi&by=source"),
  );
  assert.deepEqual(rows.order_by, [["roi", "desc"]]);
  assert.deepEqual(rows.dimensions, ["visit:source"]);
  assert.deepEqual(rows.filters, [["is", "event:goal", ["Signup"]]]);
  assert.deepEqual(
    [total.metrics, total.filters, total.date_range],
    [rows.metrics, rows.filters, rows.date_range],
  );
  assert.equal(total.dimensions, undefined);
});

test("figures are written as what they are", () => {
  const euros = (value: number) => ({ value, currency: "EUR", short: "", long: "" });
  assert.equal(amountText(euros(1234.5), "en-GB"), "€1,234.50");
  assert.equal(amountText({ ...euros(1234), currency: "JPY" }, "en-GB"), "JP¥1,234");
  assert.equal(figureText("roas", 4), "4.00×");
  assert.match(figureText("roi", -0.25), /^[-−]25/);
  assert.equal(figureText("cost", null), "–");
  assert.equal(figureText("conversions", 12), "12");
});

test("what is to be known is told in sentences, each once", () => {
  const money = {
    currency: "EUR",
    repeated_orders: 1,
    unmatched_refunds: 2,
    orders_not_converted: [
      { orders: 3, revenue: { value: 9, currency: "EUR", short: "", long: "" } },
    ],
  };
  const warning = { code: "costs_cannot_be_filtered", warning: "Take filters away" };
  const meta = { money, metric_warnings: { roas: warning, cost: warning } };
  const notes = notesOf({ meta } as unknown as Answer);
  assert.equal(notes.length, 4);
  assert.equal(notes[0], "Take filters away");
  assert.match(notes[3] ?? "", /3 orders/);
  assert.deepEqual(notesOf(undefined), []);
});
