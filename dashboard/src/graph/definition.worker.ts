import { drawDefinition } from "./definition";

self.onmessage = (event: MessageEvent<string>) => self.postMessage(drawDefinition(event.data));
