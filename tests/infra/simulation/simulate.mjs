// Answers for each request on standard input whether AWS would allow it: "Allowed", or why not.
import { runSimulation } from "@cloud-copilot/iam-simulate";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);

const policies = (documents) => documents.map((policy, index) => ({ name: `policy-${index}`, policy }));
const answers = [];
for (const { principal, action, resource, account, context, identity, boundary, trust } of JSON.parse(chunks.join(""))) {
  const found = await runSimulation(
    {
      request: { principal, action, resource: { resource, accountId: account }, contextVariables: context },
      identityPolicies: policies(identity),
      permissionBoundaryPolicies: boundary ? policies([boundary]) : undefined,
      resourcePolicy: trust,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  answers.push(found.resultType === "error" ? `invalid: ${JSON.stringify(found.errors)}` : found.overallResult);
}
process.stdout.write(JSON.stringify(answers));
