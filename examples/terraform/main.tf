# A thing, its certificate and its policy. The provider finds the service by AWS_ENDPOINT_URL and the other variables
# that `thingmint env` or `thingmint serve --ephemeral` print; no skip_… options are needed.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

data "aws_caller_identity" "current" {}

resource "aws_iot_certificate" "pump" {
  active = true
}

resource "aws_iot_thing" "pump" {
  name       = "pump-7"
  attributes = { line = "7" }
}

resource "aws_iot_policy" "pump" {
  name = "line-7"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "iot:Connect"
      Resource = "arn:aws:iot:us-east-1:${data.aws_caller_identity.current.account_id}:client/$${iot:Connection.Thing.ThingName}"
    }]
  })
}

resource "aws_iot_policy_attachment" "pump" {
  policy = aws_iot_policy.pump.name
  target = aws_iot_certificate.pump.arn
}

resource "aws_iot_thing_principal_attachment" "pump" {
  thing     = aws_iot_thing.pump.name
  principal = aws_iot_certificate.pump.arn
}

output "account" { value = data.aws_caller_identity.current.account_id }
