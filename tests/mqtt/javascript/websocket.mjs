// Connects over a WebSocket that the SDK signs, hears what it publishes itself, and is refused with a wrong secret.
import sdk from "aws-iot-device-sdk-v2";

const { auth, iot, mqtt5 } = sdk;
const [port, authority, clientId, secrets] = process.argv.slice(2);
const [id, secret, token] = JSON.parse(secrets);

function client(ownSecret) {
  const config = iot.AwsIotMqtt5ClientConfigBuilder.newWebsocketMqttBuilderWithSigv4Auth("localhost", {
    region: "us-east-1",
    credentialsProvider: auth.AwsCredentialsProvider.newStatic(id, ownSecret, token ?? undefined),
  })
    .withCertificateAuthorityFromPath(undefined, authority)
    .withPort(Number(port))
    .withConnectProperties({ clientId, keepAliveIntervalSeconds: 1200 })
    .build();
  return new mqtt5.Mqtt5Client(config);
}

async function leave(left) {
  const stopped = new Promise((resolve) => left.on("stopped", resolve));
  left.stop();
  await stopped;
}

const page = client(secret);
const connected = new Promise((resolve, reject) => {
  page.on("connectionSuccess", resolve);
  page.on("connectionFailure", reject);
});
const message = new Promise((resolve) => page.on("messageReceived", resolve));
page.start();
await connected;
await page.subscribe({ subscriptions: [{ topicFilter: clientId, qos: mqtt5.QoS.AtLeastOnce }] });
await page.publish({ topicName: clientId, qos: mqtt5.QoS.AtLeastOnce, payload: "on" });
const heard = new TextDecoder().decode((await message).message.payload);
await leave(page);

const wrong = client("wrong");
const failed = new Promise((resolve) => wrong.on("connectionFailure", resolve));
wrong.start();
const { error } = await failed;
await leave(wrong);
const refused = String(error);
process.stdout.write(JSON.stringify({ heard, refused }), () => process.exit(0));
