/** Named checks against the endpoint of the first argument, each told on a line of its own to who started the script. */

export const endpoint = process.argv[2];
export const socketEndpoint = endpoint.replace(/^http/, "ws");

const SECONDS = 30;

/** Tell whether a check holds, which it does when its function ends well and in time. */
export async function check(name, test) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${SECONDS} seconds`)), SECONDS * 1000);
  });
  try {
    await Promise.race([test(), late]);
    console.log(JSON.stringify({ check: name }));
  } catch (error) {
    console.log(JSON.stringify({ check: name, wrong: String(error?.stack ?? error) }));
  } finally {
    clearTimeout(timer);
  }
}

/** Wait a moment. */
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
