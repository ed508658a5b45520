"use strict";
// Memory, verdict and spec of any layout, from the coefficients that dsbridge computed. No page is needed:
// tests run these functions in an engine of their own and compare them with dsbridge.

const GIB = 2 ** 30;
const PLACES = ["gpu", "host", "nvme"];

// several lists of coefficients: the largest of what each gives
function valueAt(coefficients, micro, sequence) {
  if (Array.isArray(coefficients[0])) {
    return Math.max(...coefficients.map((each) => valueAt(each, micro, sequence)));
  }
  const basis = [1, micro * sequence, micro, sequence, micro * sequence * sequence];
  return coefficients.reduce((sum, each, i) => sum + each * basis[i], 0);
}

function divisorsOf(share) {
  const found = [];
  for (let n = 1; n <= share && share % n === 0; n *= 2) found.push(n);
  if (!found.includes(share)) found.push(share);
  return found;
}

// why a layout is no choice, in the words of the search; nothing where it is one
function against(data, choice) {
  const { choices, job } = data, out = [];
  const { tp, ulysses, micro, sequence } = choice;
  const wanted = [["micro batch", micro], ["sequence length", sequence], ["global batch", choice.global]];
  for (const [name, value] of wanted) {
    if (!Number.isInteger(value) || value < 1) out.push(`the ${name} is a whole number, 1 or more`);
  }
  if (!(choice.room > 0)) out.push("the memory of a GPU is a number above 0");
  if (job.bf16 && choice.bf16 === false) out.push(`${choice.gpu} has no bf16`);
  if (out.length) return out;
  if (choices.tp[tp]) out.push(`tp ${tp}: ${choices.tp[tp]}`);
  const why = choices.ulysses[ulysses][tp > 1 ? 1 : 0];
  if (why) out.push(`ulysses ${ulysses}: ${why}`);
  else if (sequence % ulysses) {
    out.push(`ulysses ${ulysses}: a sequence of ${sequence} tokens does not divide by ${ulysses}`);
  }
  const stage = `${choice.stage}|${choice.optimizer}|${choice.param}|${tp > 1 ? "+" : "1"}`;
  if (choices.stages[stage]) out.push(choices.stages[stage]);
  const refused = data.refused[[choice.stage, choice.optimizer, choice.param, tp, ulysses].join("|")];
  if (refused && !out.length) out.push(refused);
  const replicas = replicasOf(data, choice), share = choice.global / replicas;
  if (!Number.isInteger(replicas)) {
    out.push(`${job.world} GPUs do not divide into groups of ${tp * ulysses}`);
  } else if (!Number.isInteger(share)) {
    const near = Math.floor(share) * replicas || replicas;
    out.push(`a global batch of ${choice.global} does not divide by ${replicas} data-parallel ranks; ` +
      `${near} would`);
  } else if (share % micro) {
    out.push(`a micro batch of ${micro} does not divide the ${share} sequences of a rank; ` +
      `${divisorsOf(share).join(", ")} would`);
  }
  return out;
}

function replicasOf(data, choice) {
  return data.job.world / (choice.tp * choice.ulysses);
}

function accumulationOf(data, choice) {
  return choice.global / replicasOf(data, choice) / choice.micro;
}

function keyOf(data, choice) {
  const more = accumulationOf(data, choice) > 1 ? "+" : "1";
  const { stage, optimizer, param, tp, ulysses, checkpointing } = choice;
  return [stage, optimizer, param, tp, ulysses, checkpointing, more].join("|");
}

// other coefficients hold above some lengths of a sequence
function memoryKeyOf(data, choice) {
  return `${keyOf(data, choice)}|${data.breaks.filter((length) => choice.sequence > length).length}`;
}

function momentAt(data, number, { micro, sequence }) {
  const [name, numbers] = data.moments[number];
  const terms = numbers.map((each) => {
    const [part, formula, ...fits] = data.terms[each];
    const [bytes, least, most] = fits.map((fit) => valueAt(data.fits[fit], micro, sequence));
    return { part: data.parts[part], group: data.groups[part], formula, bytes, least, most };
  });
  const sum = (field) => terms.reduce((all, term) => all + term[field], 0);
  return { name, terms, total: sum("bytes"), least: sum("least"), most: sum("most") };
}

const largest = (moments) => moments.reduce((a, b) => (b.total > a.total ? b : a), moments[0]);

// memory by place, the verdict and its reasons; memory is null where the layout is none at all
function recompute(data, choice) {
  const ruledOut = against(data, choice);
  const found = Number.isFinite(accumulationOf(data, choice)) && data.kinds[memoryKeyOf(data, choice)];
  // needs more at some lengths of a sequence than the coefficients of this page say
  const bent = data.bent.includes(memoryKeyOf(data, choice));
  if (bent && !ruledOut.length) return { ruledOut, memory: null, bent };
  if (!found || !(choice.micro >= 1 && choice.sequence >= 1)) return { ruledOut, memory: null };
  const memory = {};
  PLACES.forEach((place, i) => {
    memory[place] = data.places[found[i]].map((number) => momentAt(data, number, choice));
  });
  const step = ruledOut.length ? null : stepOf(data, choice);
  return { ruledOut, memory, step, peak: largest(memory.gpu), ...verdictOf(data, choice, memory) };
}

function verdictOf(data, choice, memory) {
  const peak = largest(memory.gpu), reasons = [];
  let lacking = peak.total - choice.room;
  const most = Math.max(...memory.gpu.map((moment) => moment.most));
  let verdict = lacking > 0 ? "too large" : most > choice.room ? "tight" : "fits";
  if (verdict === "too large") reasons.push(`the GPU is too small: ${peak.name}`);
  if (verdict === "tight") reasons.push("the upper bound of the GPU's memory does not fit");
  const host = Math.max(0, ...memory.host.map((moment) => moment.total));
  const have = data.job.host_memory;
  if (have !== null && host > have) {
    verdict = "too large";
    lacking = Math.max(lacking, host - have);
    reasons.push("the host's memory is too small");
  }
  return { verdict, lacking, most, reasons };
}

// what a step moves and how long it takes, put together as dsbridge.planner.timing does; null where the page
// has no numbers of it: another GPU is another speed
function stepOf(data, choice) {
  const numbers = choice.gpu === data.start.gpu && data.steps[keyOf(data, choice)];
  if (!numbers) return null;
  const { micro: m, sequence: s } = choice, g = accumulationOf(data, choice);
  const basis = [1, g, g * m, g * m * s, g * m * s * s], found = {};
  data.step_names.forEach((name, i) => {
    found[name] = data.step_fits[numbers[i]].reduce((sum, each, k) => sum + each * basis[k], 0);
  });
  let alone = found.data_low, left = 0;
  if (choice.stage > 0 && data.overlaps[choice.stage]) {
    const window = found.window / g;
    alone -= found.last + found.other;
    left = Math.max(0, found.last - window) + Math.max(0, found.other - (g - 1) * window);
  }
  left = Math.max(left, found.transfer - found.compute_low);
  const blocking = found.tensor_low + found.sequence_low + found.offload_low - found.transfer;
  found.low = found.compute_low + alone + left + blocking;
  found.high = found.compute_high + found.data_high + found.tensor_high + found.sequence_high + found.offload_high;
  return found;
}

function told({ verdict, lacking }) {
  return verdict === "too large" ? `too large by ${(lacking / GIB).toFixed(1)} GiB` : verdict;
}

function offloadLines(name, device, { pin, disk }) {
  if (!device) return [];
  const path = device === "nvme" ? [`    nvme_path: ${disk}`] : [];
  return [`  ${name}:`, `    device: ${device}`, `    pin_memory: ${pin}`, ...path];
}

// that not every layer is checkpointed is the Trainer's own key
function checkpointLines(way) {
  if (!way.startsWith("every ")) return [];
  const kwargs = ["    gradient_checkpointing_kwargs:", `      every_n_layers: ${way.slice(6)}`];
  return ["frameworks:", "  trainer:", ...kwargs];
}

// the spec of a layout: what the plan says of the job, and what the choice says of the layout
function specOf(data, choice) {
  const { pieces, knobs } = data.spec;
  const own = {
    parallelism: ["parallelism:", `  tp: ${choice.tp}`, `  ulysses: ${choice.ulysses}`],
    zero: [
      "zero:", `  stage: ${choice.stage}`,
      ...offloadLines("offload_optimizer", choice.optimizer, data.spec),
      ...offloadLines("offload_param", choice.param, data.spec),
      ...knobs,
    ],
    batch: [
      "batch:", `  micro_per_gpu: ${choice.micro}`,
      `  accumulation: ${accumulationOf(data, choice)}`,
    ],
    training: [
      "training:", `  sequence_length: ${choice.sequence}`,
      `  gradient_checkpointing: ${choice.checkpointing !== "none"}`,
    ],
    frameworks: checkpointLines(choice.checkpointing),
  };
  return pieces.map(([key, text]) => (key in own ? own[key].map((line) => line + "\n").join("") : text)).join("");
}
