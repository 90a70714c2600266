// `npm run mock`: the stand-in on a fixed port, for `npm run dev` (CAIRN_ORIGIN points there).
import { Mock } from "./server.ts";

const mock = await new Mock().start(8081);
setInterval(() => mock.arrive("1", "/p/oak-stool"), 4_000);
console.log(mock.origin);
