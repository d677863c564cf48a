// A module for inWorker: it computes, and does nothing else meanwhile.

export default function block({ ms }) {
  if (!ms) throw new Error('ms is missing');
  for (const end = performance.now() + ms; performance.now() < end;);
  return { waited: ms };
}
