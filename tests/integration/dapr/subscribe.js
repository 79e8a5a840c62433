// An application that subscribes with Dapr's SDK. It prints each event as a line of JSON and answers as the event's
// data ask.
const { DaprServer, CommunicationProtocolEnum, DaprPubSubStatusEnum } = require("@dapr/dapr");

const [, , daprPort, serverPort] = process.argv;
const say = (what, ...rest) => console.log("::" + JSON.stringify([what, ...rest]));
const seen = new Set();

(async () => {
  const server = new DaprServer({ serverHost: "127.0.0.1", serverPort,
                                  communicationProtocol: CommunicationProtocolEnum.HTTP,
                                  clientOptions: { daprHost: "127.0.0.1", daprPort } });
  await server.pubsub.subscribeWithOptions("sluice", "orders", {
    route: "/orders",
    callback: async (data, headers) => {
      say("got", data, headers["content-type"]);
      const first = !seen.has(data.does);
      seen.add(data.does);
      if (data.does === "retry" && first) return DaprPubSubStatusEnum.RETRY;
      if (data.does === "drop") return DaprPubSubStatusEnum.DROP;
    },
  });
  await server.start();
  say("started");
})().catch((e) => { console.error(e); process.exit(1); });
