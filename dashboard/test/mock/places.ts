// Two rows of the table of laws.
import type { Place } from "../../src/lib/api/client.ts";

export const PLACES: Place[] = [
  {
    code: "DE",
    name: "Germany",
    members: [],
    silence: "opt_in",
    advised: "opt_in_strict",
    gpc: false,
    since: "2021-12-01",
    law: "Telekommunikation-Digitale-Dienste-Datenschutz-Gesetz, § 25",
    source: "https://www.gesetze-im-internet.de/ttdsg/__25.html",
  },
  {
    code: "EEA",
    name: "European Economic Area",
    members: ["AT", "DE"],
    silence: "opt_in",
    advised: "opt_in",
    gpc: false,
    since: "2018-05-25",
    law: "Directive 2002/58/EC, art. 5(3)",
    source: "https://eur-lex.europa.eu/eli/dir/2002/58/oj",
  },
];
