"""Owns the registration configuration of a CA certificate, which applies when its devices first connect."""

import re

from thingmint.core.certificates.ca_certificate import RegistrationConfig
from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.template import TemplateKind, parse_template

_ROLE_ARN = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[\x21-\x7e]+")


def registration_config(
    template_body: str | None, template_name: str | None, role_arn: str | None
) -> RegistrationConfig | None:
    """Return the configuration, None if nothing is configured.

    Raises InvalidRequest for two templates, for a text that is not a JITP template or comes without a role, and for a
    role that is not the ARN of a role.
    """
    if template_body is not None and template_name is not None:
        raise InvalidRequest("registrationConfig takes either templateBody or templateName, not both")
    if template_body is not None and role_arn is None:
        raise InvalidRequest("registrationConfig with a templateBody must have a roleArn")
    if role_arn is not None and not _ROLE_ARN.fullmatch(role_arn):
        raise InvalidRequest("registrationConfig.roleArn is not the ARN of an IAM role")
    if template_body is not None:
        parse_template(template_body, TemplateKind.JITP)
    config = RegistrationConfig(template_body, template_name, role_arn)
    return None if config == RegistrationConfig() else config
