// The AWS SDK for JavaScript v3, unmodified. Its bedrock-runtime client speaks HTTP/2 in clear text.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { BedrockClient, GetFoundationModelCommand, ListFoundationModelsCommand, ResourceNotFoundException as ModelNotFound } from '@aws-sdk/client-bedrock';
import {
  AccessDeniedException,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
  ModelErrorException,
  ResourceNotFoundException,
  ServiceUnavailableException,
  ThrottlingException,
  ValidationException,
} from '@aws-sdk/client-bedrock-runtime';
import { FAULTY, HAIKU, NO_SUCH_ARN, TOOL_PROMPT, bearer, newKey, pair, runtimeClient, skip, untilThrottled, url } from './setting.mjs';

const ask = (text) => [{ role: 'user', content: [{ text }] }];
const toolConfig = {
  tools: [{ toolSpec: { name: 'get_weather', inputSchema: { json: { type: 'object', properties: { city: { type: 'string' } } } } } }],
};

describe('aws sdk v3', { skip }, () => {
  if (skip) return;
  const runtime = runtimeClient(pair);
  const control = new BedrockClient({
    endpoint: url, region: 'us-east-1', credentials: { accessKeyId: pair.id, secretAccessKey: pair.secret }, maxAttempts: 1,
  });
  const hello = (modelId = HAIKU, text = 'Hi') => new ConverseCommand({ modelId, messages: ask(text) });
  after(() => {
    runtime.destroy();
    control.destroy();
  });

  test('Converse', async () => {
    const out = await runtime.send(new ConverseCommand({ modelId: HAIKU, messages: ask('Hello'), inferenceConfig: { maxTokens: 30 } }));
    assert.ok(out.output.message.content[0].text);
    assert.equal(out.usage.totalTokens, out.usage.inputTokens + out.usage.outputTokens);
  });

  test('ConverseStream', async () => {
    const out = await runtime.send(new ConverseStreamCommand({ modelId: HAIKU, messages: ask('Hello'), inferenceConfig: { maxTokens: 30 } }));
    const names = [];
    for await (const event of out.stream) names.push(Object.keys(event)[0]);
    assert.equal(names[0], 'messageStart');
    assert.deepEqual(names.slice(-2), ['messageStop', 'metadata']);
  });

  test('tool use', async () => {
    const out = await runtime.send(new ConverseCommand({ modelId: HAIKU, messages: ask(TOOL_PROMPT), toolConfig }));
    assert.equal(out.stopReason, 'tool_use');
    assert.deepEqual(out.output.message.content.find((b) => b.toolUse).toolUse.input, { city: 'Rome' });
  });

  test('tool use, streamed', async () => {
    const out = await runtime.send(new ConverseStreamCommand({ modelId: HAIKU, messages: ask(TOOL_PROMPT), toolConfig }));
    let input = '';
    let stop;
    for await (const event of out.stream) {
      input += event.contentBlockDelta?.delta?.toolUse?.input ?? '';
      stop = event.messageStop?.stopReason ?? stop;
    }
    assert.deepEqual(JSON.parse(input), { city: 'Rome' });
    assert.equal(stop, 'tool_use');
  });

  const body = JSON.stringify({
    anthropic_version: 'bedrock-2023-05-31',
    max_tokens: 30,
    messages: [{ role: 'user', content: 'Hello' }],
  });

  test('InvokeModel', async () => {
    const out = await runtime.send(new InvokeModelCommand({ modelId: HAIKU, body, contentType: 'application/json' }));
    assert.ok(JSON.parse(new TextDecoder().decode(out.body)).content[0].text);
  });

  test('InvokeModelWithResponseStream', async () => {
    const out = await runtime.send(new InvokeModelWithResponseStreamCommand({ modelId: HAIKU, body, contentType: 'application/json' }));
    let last;
    for await (const event of out.body) last = JSON.parse(new TextDecoder().decode(event.chunk.bytes));
    assert.equal(last.type, 'message_stop');
    assert.ok(last['amazon-bedrock-invocationMetrics'].outputTokenCount > 0);
  });

  test('an API key', async () => {
    const keyed = runtimeClient(bearer);
    assert.ok((await keyed.send(hello())).output);
    keyed.destroy();
  });

  test('errors have their class', async () => {
    await assert.rejects(runtime.send(hello('no.such')), ValidationException);
    await assert.rejects(runtime.send(hello(NO_SUCH_ARN)), ResourceNotFoundException);
    await assert.rejects(runtime.send(hello(HAIKU, '[[fail:418]]')), (e) => e instanceof ModelErrorException && e.originalStatusCode === 418);
    await assert.rejects(runtime.send(hello(FAULTY, '[[fail:503]]')), ServiceUnavailableException);
    const denied = runtimeClient(await newKey('access-key', { models: ['amazon.*'] }));
    await assert.rejects(denied.send(hello()), AccessDeniedException);
    denied.destroy();
    const wrong = runtimeClient({ id: pair.id, secret: 'wrong' });
    await assert.rejects(wrong.send(hello()), { name: 'InvalidSignatureException' });
    wrong.destroy();
  });

  test('a failure behind the first byte is an exception of the stream', async () => {
    const out = await runtime.send(new ConverseStreamCommand({ modelId: HAIKU, messages: ask('[[fail:500 after 3]]') }));
    await assert.rejects(async () => {
      for await (const _ of out.stream);
    }, { name: 'ModelStreamErrorException' });
  });

  for (const kind of ['access-key', 'api-key']) {
    test(`a throttle is retried until it succeeds, ${kind}`, async () => {
      const { out, times } = await untilThrottled(kind, async (key) => {
        const patient = runtimeClient(key, 12);
        const answer = await patient.send(hello());
        patient.destroy();
        return answer;
      });
      assert.equal(out.$metadata.attempts, times + 1);
    });
  }

  test('a throttle is raised in the end', async () => {
    const limited = runtimeClient(await newKey('access-key', { perMinute: 1 }), 2);
    await limited.send(hello());
    await assert.rejects(limited.send(hello()), (e) => e instanceof ThrottlingException && e.$metadata.attempts === 2);
    limited.destroy();
  });

  test('ListFoundationModels', async () => {
    const out = await control.send(new ListFoundationModelsCommand({}));
    assert.ok(out.modelSummaries.some((m) => m.modelId === HAIKU));
    const one = await control.send(new GetFoundationModelCommand({ modelIdentifier: HAIKU }));
    assert.equal(one.modelDetails.modelId, HAIKU);
    await assert.rejects(control.send(new GetFoundationModelCommand({ modelIdentifier: 'no.such' })), ModelNotFound);
  });
});
