# A whole fleet's registry. Each table of the registry has a row of it.

variable "colour" { default = "red" }
variable "topic" { default = "lamps" }

resource "aws_iot_thing_type" "lamp" {
  name = "tf-lamp"
  properties {
    description           = "gives light"
    searchable_attributes = ["colour"]
  }
  tags = { floor = "1" }
}

resource "aws_iot_thing" "lamp" {
  name            = "tf-lamp-1"
  thing_type_name = aws_iot_thing_type.lamp.name
  attributes      = { colour = var.colour }
}

resource "aws_iot_thing_type" "old" {
  name       = "tf-old"
  deprecated = true
}

resource "aws_iot_thing" "bare" { name = "tf-bare" }

resource "aws_iot_thing_group" "building" {
  name = "tf-building"
  properties {
    description = "all floors"
    attribute_payload { attributes = { colour = var.colour } }
  }
  tags = { floor = "all" }
}

resource "aws_iot_thing_group" "floor" {
  name              = "tf-floor"
  parent_group_name = aws_iot_thing_group.building.name
}

resource "aws_iot_thing_group_membership" "lamp" {
  thing_name             = aws_iot_thing.lamp.name
  thing_group_name       = aws_iot_thing_group.floor.name
  override_dynamic_group = true
}

resource "aws_iot_billing_group" "tenant" {
  name = "tf-tenant"
  properties { description = "paid by ${var.colour}" }
  tags = { tenant = "a" }
}

resource "aws_iot_certificate" "with_key" { active = true }

resource "aws_iot_certificate" "from_request" {
  active = true
  csr    = file("device.csr")
}

resource "aws_iot_policy" "publish" {
  name = "tf-publish"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["iot:Publish"]
      Resource = "arn:aws:iot:us-east-1:000000000000:topic/${var.topic}"
    }]
  })
  tags = { purpose = "test" }
}

resource "aws_iot_policy_attachment" "certificate" {
  for_each = { key = aws_iot_certificate.with_key.arn, csr = aws_iot_certificate.from_request.arn }
  policy   = aws_iot_policy.publish.name
  target   = each.value
}

resource "aws_iot_policy_attachment" "group" {
  policy = aws_iot_policy.publish.name
  target = aws_iot_thing_group.floor.arn
}

resource "aws_iot_thing_principal_attachment" "key" {
  principal = aws_iot_certificate.with_key.arn
  thing     = aws_iot_thing.lamp.name
}

resource "aws_iot_thing_principal_attachment" "csr" {
  principal = aws_iot_certificate.from_request.arn
  thing     = aws_iot_thing.lamp.name
}

resource "aws_iot_provisioning_template" "fleet" {
  name                  = "tf-fleet"
  description           = "for ${var.colour} lamps"
  enabled               = var.colour == "red"
  provisioning_role_arn = "arn:aws:iam::000000000000:role/provisioning"
  template_body = jsonencode({
    Parameters = { SerialNumber = { Type = "String" } }
    Resources = {
      certificate = {
        Type       = "AWS::IoT::Certificate"
        Properties = { CertificateId = { Ref = "AWS::IoT::Certificate::Id" }, Status = "Active" }
      }
      policy = { Type = "AWS::IoT::Policy", Properties = { PolicyName = aws_iot_policy.publish.name } }
    }
  })
  tags = { purpose = "test" }
}

resource "aws_iot_ca_certificate" "plant" {
  active                       = true
  allow_auto_registration      = true
  ca_certificate_pem           = file("plant.pem")
  verification_certificate_pem = file("plant-verification.pem")
  certificate_mode             = "DEFAULT"
  tags                         = { plant = "north" }
}

resource "aws_iot_role_alias" "uploads" {
  alias               = "tf-uploads"
  role_arn            = "arn:aws:iam::000000000000:role/uploads"
  credential_duration = var.colour == "red" ? 3600 : 7200
  tags                = { purpose = "test" }
}

resource "aws_iot_event_configurations" "events" {
  event_configurations = {
    "THING"                  = var.colour == "red"
    "THING_GROUP"            = false
    "THING_TYPE"             = false
    "THING_GROUP_MEMBERSHIP" = false
    "THING_GROUP_HIERARCHY"  = false
    "THING_TYPE_ASSOCIATION" = false
    "JOB"                    = false
    "JOB_EXECUTION"          = false
    "POLICY"                 = false
    "CERTIFICATE"            = true
    "CA_CERTIFICATE"         = false
  }
}

output "certificates" { value = [aws_iot_certificate.with_key.arn, aws_iot_certificate.from_request.arn] }
