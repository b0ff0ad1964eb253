// The AWS SDK for JavaScript v3, unmodified. Its bedrock-runtime client speaks HTTP/2 in clear text.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { BedrockClient, ListFoundationModelsCommand } from '@aws-sdk/client-bedrock';
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
  ValidationException,
} from '@aws-sdk/client-bedrock-runtime';
import { HAIKU, TOOL_PROMPT, credentials, skip, url } from './setting.mjs';

const ask = (text) => [{ role: 'user', content: [{ text }] }];
const toolConfig = {
  tools: [{ toolSpec: { name: 'get_weather', inputSchema: { json: { type: 'object', properties: { city: { type: 'string' } } } } } }],
};

describe('aws sdk v3', { skip }, () => {
  const options = { endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 };
  const runtime = new BedrockRuntimeClient(options);
  const control = new BedrockClient(options);
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

  test('an error has its class', async () => {
    await assert.rejects(runtime.send(new ConverseCommand({ modelId: 'no.such', messages: ask('Hi') })), ValidationException);
  });

  test('ListFoundationModels', async () => {
    const out = await control.send(new ListFoundationModelsCommand({}));
    assert.ok(out.modelSummaries.some((m) => m.modelId === HAIKU));
  });
});
