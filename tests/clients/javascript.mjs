// Calls a service with AWS's SDK for JavaScript and prints, as one JSON object, what the SDK made of the answers.
// Where the service is and who calls comes from the environment, as `thingmint env` gives it.
import {
  CertificateStateException,
  CreateCertificateFromCsrCommand,
  CreateKeysAndCertificateCommand,
  DeleteCertificateCommand,
  DescribeCertificateCommand,
  DescribeEndpointCommand,
  InvalidRequestException,
  IoTClient,
  IoTServiceException,
  ListTagsForResourceCommand,
  SearchIndexCommand,
  ResourceNotFoundException,
  UpdateCertificateCommand,
  paginateListCertificates,
} from "@aws-sdk/client-iot";

const iot = new IoTClient({});

async function statusOf(certificateId) {
  const { certificateDescription } = await iot.send(new DescribeCertificateCommand({ certificateId }));
  return certificateDescription.status;
}

async function refusalOf(client, command, kind) {
  try {
    await client.send(command);
  } catch (error) {
    return {
      name: error.name,
      status: error.$metadata.httpStatusCode,
      message: error.message,
      isOfItsClass: error instanceof kind,
      hasRequestId: Boolean(error.$metadata.requestId),
    };
  }
  throw new Error("the call was not refused");
}

const created = await iot.send(new CreateKeysAndCertificateCommand({ setAsActive: true }));
const { certificateId, certificateArn } = created;
const described = await iot.send(new DescribeCertificateCommand({ certificateId }));
const fromRequest = await iot.send(
  new CreateCertificateFromCsrCommand({ certificateSigningRequest: process.env.CSR_PEM }),
);

const listed = [];
let pages = 0;
for await (const page of paginateListCertificates({ client: iot, pageSize: 2 }, {})) {
  pages += 1;
  listed.push(...page.certificates.map((certificate) => certificate.certificateId));
}

const activeCannotBeDeleted = await refusalOf(
  iot,
  new DeleteCertificateCommand({ certificateId, forceDelete: true }),
  CertificateStateException,
);
await iot.send(new UpdateCertificateCommand({ certificateId, newStatus: "INACTIVE" }));
const statusAfterUpdate = await statusOf(certificateId);
const tags = await iot.send(new ListTagsForResourceCommand({ resourceArn: certificateArn }));
await iot.send(new DeleteCertificateCommand({ certificateId }));

const stranger = new IoTClient({
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" },
});

console.log(
  JSON.stringify({
    created,
    dates: [described.certificateDescription.creationDate, described.certificateDescription.validity.notAfter],
    statusAtFirst: described.certificateDescription.status,
    statusFromRequest: await statusOf(fromRequest.certificateId),
    fromRequest: fromRequest.certificateId,
    listed,
    pages,
    statusAfterUpdate,
    tags: tags.tags,
    endpoint: (await iot.send(new DescribeEndpointCommand({ endpointType: "iot:Data-ATS" }))).endpointAddress,
    activeCannotBeDeleted,
    gone: await refusalOf(iot, new DescribeCertificateCommand({ certificateId }), ResourceNotFoundException),
    shortId: await refusalOf(iot, new DescribeCertificateCommand({ certificateId: "ab" }), InvalidRequestException),
    absent: await refusalOf(iot, new SearchIndexCommand({ queryString: "*" }), IoTServiceException),
    wrongSecret: await refusalOf(stranger, new DescribeEndpointCommand({}), IoTServiceException),
  }),
);
