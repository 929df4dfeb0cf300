# Certificates in texts as users' own tools write them.

variable "active" {
  type    = bool
  default = false
}

resource "aws_iot_certificate" "text" {
  for_each        = toset(["trimmed", "crlf", "openssl", "bag"])
  certificate_pem = each.key == "trimmed" ? trimspace(file("plain.pem")) : file("${each.key}.pem")
  active          = var.active
}

resource "aws_iot_ca_certificate" "text" {
  for_each                = toset(["trimmed", "crlf", "openssl"])
  ca_certificate_pem      = each.key == "trimmed" ? trimspace(file("ca-plain.pem")) : file("ca-${each.key}.pem")
  certificate_mode        = "SNI_ONLY"
  active                  = var.active
  allow_auto_registration = var.active
}

resource "aws_iot_certificate" "of_ca" {
  certificate_pem = trimspace(file("of-ca.pem"))
  ca_pem          = trimspace(file("ca-plain.pem"))
  active          = var.active
  depends_on      = [aws_iot_ca_certificate.text]
}

resource "aws_iot_thing" "example" { name = "of-a-text" }

resource "aws_iot_thing_principal_attachment" "example" {
  principal = aws_iot_certificate.text["trimmed"].arn
  thing     = aws_iot_thing.example.name
}
