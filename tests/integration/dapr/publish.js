// Publishes with Dapr's SDK as its users do. Prints the outcome of each call as a line of JSON.
const { DaprClient, CommunicationProtocolEnum } = require("@dapr/dapr");

const say = (what, result) => console.log("::" + JSON.stringify([what, result]));

(async () => {
  const client = new DaprClient({ daprHost: "127.0.0.1", daprPort: process.argv[2],
                                  communicationProtocol: CommunicationProtocolEnum.HTTP });
  await client.start(); // waits for the sidecar
  say("healthy", await client.health.isHealthy());
  say("metadata", await client.metadata.get());
  const publish = async (what, ...rest) => {
    const { error } = await client.pubsub.publish("sluice", ...rest);
    say(what, error ? JSON.parse(error.message) : null);
  };
  await publish("object", "orders", { item: "bücher", count: 2 });
  await publish("text", "orders", "plain words");
  await publish("bytes", "orders", Buffer.from([0, 255, 10]));
  await publish("event", "orders", { specversion: "1.0", id: "42", source: "/shop", type: "order.placed", data: { n: 1 } },
                { contentType: "application/cloudevents+json" });
  await publish("raw", "orders", { raw: true }, { metadata: { rawPayload: "true" } });
  await publish("short-lived", "orders", { n: 2 }, { metadata: { ttlInSeconds: "3600", "cloudevent.type": "offer" } });
  await publish("topic", "news", { n: 3 });
  await publish("nowhere", "nowhere", { n: 4 });
  await publish("full", "full", { n: 5 });
  await client.stop();
})().catch((e) => { console.error(e); process.exit(1); });
