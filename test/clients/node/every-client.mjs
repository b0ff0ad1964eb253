// The same question through every JavaScript client, set up by nothing but the environment. Prints a line of JSON for
// each call: the client, and the tokens that it was told of.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from '@aws-sdk/client-bedrock-runtime';
import Anthropic from '@anthropic-ai/sdk';
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';
import OpenAI from 'openai';

const model = 'anthropic.claude-3-haiku-20240307-v1:0';
const question = process.argv[2];
const max_tokens = 40;
const messages = [{ role: 'user', content: question }];

const told = (client, input, output) => console.log(JSON.stringify({ client, input, output }));

const runtime = new BedrockRuntimeClient();
const ask = { modelId: model, messages: [{ role: 'user', content: [{ text: question }] }], inferenceConfig: { maxTokens: max_tokens } };
let { usage } = await runtime.send(new ConverseCommand(ask));
told('AWS SDK (JavaScript) Converse', usage.inputTokens, usage.outputTokens);
for await (const event of (await runtime.send(new ConverseStreamCommand(ask))).stream) usage = event.metadata?.usage ?? usage;
told('AWS SDK (JavaScript) ConverseStream', usage.inputTokens, usage.outputTokens);
runtime.destroy();

const openai = new OpenAI();
({ usage } = await openai.chat.completions.create({ model, messages, max_tokens }));
told('openai (Node)', usage.prompt_tokens, usage.completion_tokens);
const stream = await openai.chat.completions.create({ model, messages, max_tokens, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) usage = chunk.usage ?? usage;
told('openai (Node) stream', usage.prompt_tokens, usage.completion_tokens);

for (const [name, client] of [['anthropic (Node)', new Anthropic()], ['anthropic Bedrock (Node)', new AnthropicBedrock()]]) {
  ({ usage } = await client.messages.create({ model, messages, max_tokens }));
  told(name, usage.input_tokens, usage.output_tokens);
  ({ usage } = await client.messages.stream({ model, messages, max_tokens }).finalMessage());
  told(`${name} stream`, usage.input_tokens, usage.output_tokens);
}
