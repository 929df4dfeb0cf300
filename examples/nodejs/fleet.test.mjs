// Tests in Node.js: the service is started once, each test has an account of its own. AWS's SDK finds the service by its
// variables; in test mode, an access key id of twelve digits is an account, with any secret.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

let service;
let iot;

before(async () => {
  service = spawn(process.env.THINGMINT ?? "thingmint", ["serve", "--ephemeral", "--stop-with-stdin"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  for await (const line of createInterface({ input: service.stdout })) {
    const [, name, value] = /^export ([A-Z_]+)=(.*)$/.exec(line) ?? [];
    if (name) process.env[name] = value;
    if (line.startsWith("# Thingmint")) break;
  }
  // Node.js reads NODE_EXTRA_CA_CERTS when it starts: this process trusts the service by the agent of the client.
  iot = await import("@aws-sdk/client-iot");
});

after(() => service.stdin.end());

async function newClient() {
  const { readFileSync } = await import("node:fs");
  const { Agent } = await import("node:https");
  const ca = readFileSync(process.env.AWS_CA_BUNDLE);
  const accessKeyId = String(randomInt(10 ** 11, 10 ** 12));
  return new iot.IoTClient({
    credentials: { accessKeyId, secretAccessKey: "test" },
    requestHandler: { httpsAgent: new Agent({ ca }) },
  });
}

test("a thing is registered", async () => {
  const client = await newClient();
  await client.send(new iot.CreateThingCommand({ thingName: "pump" }));
  const { things } = await client.send(new iot.ListThingsCommand({}));
  assert.deepEqual(things.map((each) => each.thingName), ["pump"]);
});

test("another account sees nothing of it", async () => {
  const client = await newClient();
  const { things } = await client.send(new iot.ListThingsCommand({}));
  assert.deepEqual(things, []);
});
