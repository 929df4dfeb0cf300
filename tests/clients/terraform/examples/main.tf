# One example of the provider's documentation after the other, by the names of their pages. What another provider makes
# (hashicorp/tls) is in files, and the role of another service is its ARN. `stage` is what users change next:
# 1 as documented, 2 changed, 3 left out.

variable "stage" {
  type    = number
  default = 1
}

# aws_iot_certificate
resource "aws_iot_certificate" "csr" {
  csr    = file("device.csr")
  active = var.stage != 2
}

resource "aws_iot_certificate" "keys" {
  active = var.stage != 2
}

resource "aws_iot_certificate" "existing" {
  certificate_pem = file("existing.pem")
  active          = var.stage != 2
}

# aws_iot_ca_certificate, aws_iot_registration_code
data "aws_iot_registration_code" "example" {}

resource "aws_iot_ca_certificate" "example" {
  active                       = var.stage != 2
  ca_certificate_pem           = file("ca.pem")
  verification_certificate_pem = file("verification.pem")
  allow_auto_registration      = var.stage != 2
}

# aws_iot_policy, aws_iot_policy_attachment
resource "aws_iot_policy" "pubsub" {
  name = "PubSubToAnyTopic"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Action   = [var.stage == 1 ? "iot:*" : "iot:Connect"]
        Effect   = "Allow"
        Resource = "*"
      },
    ]
  })
}

data "aws_iam_policy_document" "pubsub" {
  statement {
    effect    = "Allow"
    actions   = var.stage == 1 ? ["iot:*"] : ["iot:Publish", "iot:Connect"]
    resources = ["*"]
  }
}

resource "aws_iot_policy" "document" {
  name   = "PubSubByDocument"
  policy = data.aws_iam_policy_document.pubsub.json
}

resource "aws_iot_policy_attachment" "att" {
  policy = aws_iot_policy.pubsub.name
  target = aws_iot_certificate.csr.arn
}

# aws_iot_thing, aws_iot_thing_type, aws_iot_thing_principal_attachment
resource "aws_iot_thing_type" "foo" {
  name = "my_iot_thing"
  tags = var.stage == 3 ? {} : { stage = tostring(var.stage) }
}

resource "aws_iot_thing_type" "full" {
  name = "my_iot_thing_in_full"
  properties {
    description           = "all that there is"
    searchable_attributes = ["wattage", "model"]
  }
}

resource "aws_iot_thing" "example" {
  name            = "example"
  thing_type_name = var.stage == 3 ? null : aws_iot_thing_type.foo.name
  attributes      = var.stage == 3 ? {} : { First = "examplevalue${var.stage}" }
}

resource "aws_iot_thing_principal_attachment" "att" {
  principal = aws_iot_certificate.keys.arn
  thing     = aws_iot_thing.example.name
}

# aws_iot_thing_group, aws_iot_thing_group_membership
resource "aws_iot_thing_group" "parent" {
  name = "parent"
}

resource "aws_iot_thing_group" "example" {
  name              = "example"
  parent_group_name = aws_iot_thing_group.parent.name

  dynamic "properties" {
    for_each = var.stage == 3 ? [] : [1]
    content {
      attribute_payload {
        attributes = {
          One = "11111"
          Two = "TwoTwo${var.stage}"
        }
      }
      description = "This is my thing group"
    }
  }

  tags = {
    terraform = "true"
  }
}

resource "aws_iot_thing_group" "described" {
  name = "described"
  properties {
    attribute_payload {
      attributes = { One = "11111" }
    }
    description = var.stage == 1 ? "This is my thing group" : null
  }
}

resource "aws_iot_thing_group_membership" "example" {
  thing_name             = aws_iot_thing.example.name
  thing_group_name       = aws_iot_thing_group.example.name
  override_dynamic_group = true
}

# The provider cannot import what the documented membership overrides, and would make it anew.
resource "aws_iot_thing_group_membership" "plain" {
  thing_name       = aws_iot_thing.example.name
  thing_group_name = aws_iot_thing_group.described.name
}

# aws_iot_billing_group
resource "aws_iot_billing_group" "example" {
  name = "example"
  properties {
    description = "This is my billing group ${var.stage}"
  }
  tags = {
    terraform = "true"
  }
}

# aws_iot_role_alias
resource "aws_iot_role_alias" "alias" {
  alias               = "Thermostat-dynamodb-access-role-alias"
  role_arn            = "arn:aws:iam::000000000000:role/dynamodb-access-role"
  credential_duration = var.stage == 2 ? 7200 : null
}

# aws_iot_provisioning_template
resource "aws_iot_policy" "device_policy" {
  name = "DevicePolicy"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "iot:Subscribe", Resource = "*" }]
  })
}

resource "aws_iot_provisioning_template" "fleet" {
  name                  = "FleetTemplate"
  description           = var.stage == 3 ? null : "My provisioning template ${var.stage}"
  provisioning_role_arn = "arn:aws:iam::000000000000:role/service-role/IoTProvisioningServiceRole"
  enabled               = var.stage != 2

  template_body = jsonencode({
    Parameters = {
      SerialNumber = { Type = "String" }
    }

    Resources = {
      certificate = {
        Properties = {
          CertificateId = { Ref = "AWS::IoT::Certificate::Id" }
          Status        = var.stage == 1 ? "Active" : "Inactive"
        }
        Type = "AWS::IoT::Certificate"
      }

      policy = {
        Properties = {
          PolicyName = aws_iot_policy.device_policy.name
        }
        Type = "AWS::IoT::Policy"
      }
    }
  })
}

# aws_iot_endpoint
data "aws_iot_endpoint" "example" {}
