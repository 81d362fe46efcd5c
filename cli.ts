/** The command line: `downhill train|test|predict CONFIG`. */
import { main } from "./src/config/command_line.ts";
import "./src/model/models.ts";
import { hostProcess } from "./src/core/host.ts";

if (hostProcess !== undefined) hostProcess.exitCode = await main(hostProcess.argv.slice(2));
