// A stack with what a fleet needs in AWS IoT: a thing, the policy of its devices and a provisioning template.
// `npm run synth` writes the CloudFormation template to cdk.out.
import { App, Stack, aws_iot as iot } from "aws-cdk-lib";

const app = new App({ outdir: "cdk.out" });
const stack = new Stack(app, "Fleet", { env: { account: "000000000000", region: "us-east-1" } });

new iot.CfnThing(stack, "Pump", { thingName: "pump-1" });
new iot.CfnPolicy(stack, "Pumps", {
  policyName: "pumps",
  policyDocument: {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: "iot:Connect",
        Resource: "arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.ThingName}",
      },
    ],
  },
});
new iot.CfnProvisioningTemplate(stack, "Claim", {
  templateName: "pumps",
  enabled: true,
  provisioningRoleArn: "arn:aws:iam::000000000000:role/provisioning",
  templateBody: JSON.stringify({
    Parameters: { Serial: { Type: "String" }, "AWS::IoT::Certificate::Id": { Type: "String" } },
    Resources: {
      certificate: {
        Type: "AWS::IoT::Certificate",
        Properties: { CertificateId: { Ref: "AWS::IoT::Certificate::Id" }, Status: "ACTIVE" },
      },
      thing: { Type: "AWS::IoT::Thing", Properties: { ThingName: { Ref: "Serial" } } },
      policy: { Type: "AWS::IoT::Policy", Properties: { PolicyName: "pumps" } },
    },
  }),
});
app.synth();
