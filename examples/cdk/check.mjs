// Thingmint has no CloudFormation. This script makes the IoT resources of the synthesized template there by AWS's SDK, in
// their order, so that a wrong policy or template is found before anything is deployed.
import { readFileSync } from "node:fs";
import {
  CreatePolicyCommand,
  CreateProvisioningTemplateCommand,
  CreateThingCommand,
  IoTClient,
} from "@aws-sdk/client-iot";

const commands = {
  "AWS::IoT::Thing": (it) => new CreateThingCommand({ thingName: it.ThingName }),
  "AWS::IoT::Policy": (it) =>
    new CreatePolicyCommand({ policyName: it.PolicyName, policyDocument: JSON.stringify(it.PolicyDocument) }),
  "AWS::IoT::ProvisioningTemplate": (it) =>
    new CreateProvisioningTemplateCommand({
      templateName: it.TemplateName,
      templateBody: it.TemplateBody,
      enabled: it.Enabled,
      provisioningRoleArn: it.ProvisioningRoleArn,
    }),
};

const { Resources } = JSON.parse(readFileSync("cdk.out/Fleet.template.json", "utf8"));
const client = new IoTClient({});
for (const [name, { Type, Properties }] of Object.entries(Resources)) {
  if (Type in commands) {
    await client.send(commands[Type](Properties));
    console.log(`${name}: ${Type} is valid`);
  }
}
