# The shortest configurations that users begin with.

resource "aws_iot_certificate" "with_key" {
  active = true
}

resource "aws_iot_certificate" "from_request" {
  active = false
  csr    = file("device.csr")
}

data "aws_iot_endpoint" "devices" {
  endpoint_type = "iot:Data-ATS"
}

output "arns" { value = [aws_iot_certificate.with_key.arn, aws_iot_certificate.from_request.arn] }
output "endpoint" { value = data.aws_iot_endpoint.devices.endpoint_address }
output "certificate_pem" {
  value     = aws_iot_certificate.from_request.certificate_pem
  sensitive = true
}
output "private_key" {
  value     = aws_iot_certificate.with_key.private_key
  sensitive = true
}
