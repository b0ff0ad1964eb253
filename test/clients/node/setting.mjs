// Where the server is and which keys to use; the Go test above starts the server.
export const HAIKU = 'anthropic.claude-3-haiku-20240307-v1:0';
export const TITAN_EMBED = 'amazon.titan-embed-text-v2:0';
export const TOOL_PROMPT = '[[tool:get_weather {"city":"Rome"}]]';

export const url = process.env.FOREBAY_TEST_URL;
export const apiKey = process.env.FOREBAY_TEST_API_KEY;
export const throttledKey = process.env.FOREBAY_TEST_THROTTLED_KEY;
export const credentials = {
  accessKeyId: process.env.FOREBAY_TEST_ACCESS_KEY,
  secretAccessKey: process.env.FOREBAY_TEST_SECRET_KEY,
};
export const skip = url ? false : 'SKIPPED: FOREBAY_TEST_URL is not set; run these tests through `make test`';
