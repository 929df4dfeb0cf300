// Takes a device from its claim to an identity of its own by the SDK's second client over MQTT 5, and uses it.
import { writeFileSync } from "node:fs";
import sdk from "aws-iot-device-sdk-v2";

const { iot, iotidentity, mqtt5 } = sdk;
const [port, authority, certificate, key, template, serial, folder] = process.argv.slice(2);

async function connect(certificatePath, keyPath, clientId) {
  const config = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath("localhost", certificatePath, keyPath)
    .withCertificateAuthorityFromPath(undefined, authority)
    .withPort(Number(port))
    .withConnectProperties({ clientId, keepAliveIntervalSeconds: 1200 })
    .build();
  const client = new mqtt5.Mqtt5Client(config);
  const connected = new Promise((resolve, reject) => {
    client.on("connectionSuccess", resolve);
    client.on("connectionFailure", reject);
  });
  client.start();
  await connected;
  return client;
}

async function leave(client) {
  const stopped = new Promise((resolve) => client.on("stopped", resolve));
  client.stop();
  await stopped;
}

async function publish(client, topicName) {
  const answer = await client.publish({ topicName, qos: mqtt5.QoS.AtLeastOnce, payload: "on" });
  return answer.reasonCode;
}

const claim = await connect(certificate, key, `claim ${serial}`);
const options = { maxRequestResponseSubscriptions: 2, maxStreamingSubscriptions: 2, operationTimeoutInSeconds: 60 };
const identity = iotidentity.IotIdentityClientv2.newFromMqtt5(claim, options);
const created = await identity.createKeysAndCertificate({});
const registered = await identity.registerThing({
  templateName: template,
  certificateOwnershipToken: created.certificateOwnershipToken,
  parameters: { Serial: serial },
});
identity.close();
await leave(claim);

const [ownCertificate, ownKey] = [`${folder}/own.pem`, `${folder}/own.key`];
writeFileSync(ownCertificate, created.certificatePem);
writeFileSync(ownKey, created.privateKey, { mode: 0o600 });
const device = await connect(ownCertificate, ownKey, registered.thingName);
const told = [await publish(device, `${registered.thingName}/state`), await publish(device, "another/state")];
await leave(device);
const answer = { certificateId: created.certificateId, thingName: registered.thingName, told };
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
