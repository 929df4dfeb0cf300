# All configurations in one, so that one command tries each of them. `stage` is what users change next.
variable "stage" { type = number }

module "certificates" { source = "./certificates" }

module "examples" {
  source = "./examples"
  stage  = var.stage
}

module "registry" {
  source = "./registry"
  colour = var.stage == 1 ? "red" : "blue"
  topic  = var.stage == 1 ? "lamps" : "bulbs"
}

# A certificate is registered with a CA that is active.
module "texts" {
  source = "./texts"
  active = var.stage == 1
}

output "arns" { value = module.certificates.arns }
output "endpoint" { value = module.certificates.endpoint }
output "certificate_pem" {
  value     = module.certificates.certificate_pem
  sensitive = true
}
output "private_key" {
  value     = module.certificates.private_key
  sensitive = true
}
output "certificates_of_the_registry" { value = module.registry.certificates }
