// Asks for a certificate by each of the SDK's two clients, and prints what came.
import sdk from "aws-iot-device-sdk-v2";

const { iot, iotidentity, mqtt, mqtt5 } = sdk;
const [port, authority, certificate, key] = process.argv.slice(2);

async function byFirstClient() {
  const config = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(certificate, key)
    .with_certificate_authority_from_path(undefined, authority)
    .with_clean_session(false)
    .with_client_id("javascript 3.1.1")
    .with_endpoint("localhost")
    .with_port(Number(port))
    .build();
  const connection = new mqtt.MqttClient().new_connection(config);
  await connection.connect();
  const client = new iotidentity.IotIdentityClient(connection);
  const answer = await new Promise((resolve, reject) => {
    const heard = (error, response) => (error ? reject(error) : resolve(response));
    client
      .subscribeToCreateKeysAndCertificateAccepted({}, mqtt.QoS.AtLeastOnce, heard)
      .then(() => client.subscribeToCreateKeysAndCertificateRejected({}, mqtt.QoS.AtLeastOnce, heard))
      .then(() => client.publishCreateKeysAndCertificate({}, mqtt.QoS.AtLeastOnce))
      .catch(reject);
  });
  await connection.disconnect();
  return answer;
}

async function bySecondClient() {
  const config = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath("localhost", certificate, key)
    .withCertificateAuthorityFromPath(undefined, authority)
    .withPort(Number(port))
    .withConnectProperties({ clientId: "javascript 5", keepAliveIntervalSeconds: 1200 })
    .build();
  const connection = new mqtt5.Mqtt5Client(config);
  const connected = new Promise((resolve, reject) => {
    connection.on("connectionSuccess", resolve);
    connection.on("connectionFailure", reject);
  });
  connection.start();
  await connected;
  const options = { maxRequestResponseSubscriptions: 2, maxStreamingSubscriptions: 2, operationTimeoutInSeconds: 60 };
  const client = iotidentity.IotIdentityClientv2.newFromMqtt5(connection, options);
  const answer = await client.createKeysAndCertificate({});
  client.close();
  const stopped = new Promise((resolve) => connection.on("stopped", resolve));
  connection.stop();
  await stopped;
  return answer;
}

const answers = [await byFirstClient(), await bySecondClient()];
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
