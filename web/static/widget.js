// 归途 Guitu: the chat, for any page. One file, no cookie, no key, nothing loaded from elsewhere.
// <script src="https://HOST/widget.js" defer data-lang="auto" data-position="right" data-color="#0b5563"
//         data-title="…" data-target="#id" data-exit="https://…"></script>
// The server puts words, lists and style in at the names written __LIKE_THIS__ (web/assets.py).
(() => {
'use strict';
const WORDS = __STRINGS__;
const LANGUAGES = __LANGUAGES__;
const LIKELY = __LIKELY__;
const HOSTS = __HOSTS__.split(' ');
const COUNTRIES = __COUNTRIES__.split(' ');
const CSS = __CSS__;
const KEY = 'guitu.lang';
const ASK_MS = 45000;
const SLOW_MS = 4000;
// Two presses of Escape within this time mean: away from here.
const TWICE_MS = 600;
const script = document.currentScript || document.querySelector('script[src*="widget.js"]');
const data = script ? script.dataset : {};
// Where the script lies, the server is; our own pages take the script from /static/ under a name of its content.
const BASE = (script ? script.src : location.href).replace(/(static\/)?[^/]*$/, '');
const api = window.Guitu = window.Guitu || {};

// Every text goes through here and becomes a text node: nothing that was written by others is ever markup.
const el = (name, props, ...children) => {
  const node = document.createElement(name);
  for (const key in props) {
    const value = props[key];
    if (value == null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child != null && child !== false && child !== ''));
  return node;
};
// Words of others are kept apart from ours, so that direction marks inside them turn nothing around.
const bdi = (text, props) => el('bdi', props, text == null ? '' : String(text));
const address = (url, lang) => {
  try {
    const found = new URL(url, BASE);
    if (lang && found.href.startsWith(BASE)) {
      found.searchParams.set('lang', lang);
      if (api.neutral) found.searchParams.set('n', '1');
    }
    return url && /^https?:$/.test(found.protocol) ? found.href : null;
  } catch (error) {
    return null;
  }
};
const list = (value) => (Array.isArray(value) ? value : []);
const known = (tag) => {
  const parts = String(tag || '').toLowerCase().split('-');
  if (/^(zh|yue|cmn)$/.test(parts[0])) return /hant|tw|hk|mo|yue/.test(parts.join('-')) ? 'zh-Hant' : 'zh-Hans';
  const base = { fil: 'tl', in: 'id' }[parts[0]] || parts[0];
  return Object.hasOwn(LANGUAGES, base) ? base : null;
};
const stored = (value) => {
  // Storage may be refused, or absent in a sandboxed frame.
  try {
    if (value === undefined) return localStorage.getItem(KEY);
    if (value === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
  } catch (error) { /* then nothing is remembered */ }
  return null;
};
const pictureOf = async (file) => {
  // A photo of several megabytes takes minutes on a slow line; text stays readable at 1,400 pixels on the short side.
  if (file.size < 400000) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 1400 / Math.min(bitmap.width, bitmap.height));
    const canvas = el('canvas', { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const small = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.85));
    return small && small.size < file.size ? small : file;
  } catch (error) {
    return file;
  }
};

const create = (options) => {
  const target = options.target ? document.querySelector(options.target) : null;
  if (options.target && !target) return null;
  const inline = Boolean(target);
  const onOurPage = options.page != null;
  const side = /left|start/.test(options.position || '') ? 'left' : 'right';
  // A script that a single-page application runs again finds the widget that is there.
  const name = inline ? options.target : side;
  const twin = [...document.querySelectorAll('guitu-chat')].find((node) => node.dataset.at === name);
  if (twin) return twin.guitu;

  const host = el('guitu-chat', { 'data-at': name });
  const root = host.attachShadow({ mode: 'open' });
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
  } catch (error) {
    // Browsers before 2023; under a strict policy the host gives its nonce on the script.
    root.append(el('style', { nonce: script && script.nonce }, CSS));
  }

  const set = options.lang && options.lang !== 'auto' ? known(options.lang) : null;
  const remembered = known(stored());
  let lang = 'en';
  let words = WORDS.en;
  // Sent only when the person chose it; else the server goes by what was typed.
  const firstChoice = options.chosen != null ? set : null;
  let chosen = firstChoice || remembered;
  let conversation = null;
  let person = {};
  let mode = 'ask';
  let picture = null;
  let bundle = null;
  let waiting = [];
  let ids = 0;

  let panel = null;
  const paint = (node) => {
    for (const [key, values, attribute] of node.words) {
      let text = words[key] || WORDS.en[key] || '';
      // Numbers and dates keep their own direction inside words that run from right to left.
      for (const part in values) text = text.replace(`{${part}}`, () => (panel && panel.dir === 'rtl' ? `\u2066${values[part]}\u2069` : values[part]));
      if (attribute) node.setAttribute(attribute, text);
      else node.textContent = text;
    }
    return node;
  };
  const say = (node, key, values, attribute) => {
    (node.words = node.words || []).push([key, values, attribute]);
    node.setAttribute('data-w', '');
    return paint(node);
  };
  const tag = (name, key, props, values) => say(el(name, props), key, values);
  const button = (key, style, click) => tag('button', key, { type: 'button', class: style, click });
  const country = (code) => {
    if (words.countries && words.countries[code]) return words.countries[code];
    try {
      return new Intl.DisplayNames([lang], { type: 'region', style: 'short' }).of(code);
    } catch (error) {
      return code;
    }
  };
  const live = el('div', { class: 'vh', role: 'status' });
  const announce = (text) => {
    live.textContent = '';
    setTimeout(() => { live.textContent = text; }, 60);
  };
  const link = (url, ...children) => {
    const href = address(url, lang);
    if (!href) return el('span', {}, ...children);
    return el('a', { href, target: '_blank', rel: 'noopener noreferrer' }, ...children,
      el('span', { class: 'vh' }, ' '), tag('span', 'new_tab', { class: 'vh' }));
  };
  const request = async (path, body) => {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ASK_MS);
    try {
      const isForm = body instanceof FormData;
      const response = await fetch(BASE + path, body ? {
        method: 'POST',
        body: isForm ? body : JSON.stringify(body),
        headers: isForm ? {} : { 'Content-Type': 'application/json' },
        signal: stop.signal,
        credentials: 'omit',
      } : { signal: stop.signal, credentials: 'omit' }).catch((error) => { throw Object.assign(new Error('lost'), { lost: true, error }); });
      if (!response.ok) throw Object.assign(new Error('refused'), { status: response.status });
      return response.status === 204 ? null : await response.json();
    } finally {
      clearTimeout(timer);
    }
  };
  const offline = () => {
    bundle = bundle || fetch(`${BASE}offline.json?lang=${lang}`, { credentials: 'omit', cache: 'force-cache' })
      .then((response) => (response.ok ? response.json() : null)).catch(() => null)
      .then((found) => { if (!found) bundle = null; return found; });
    return bundle;
  };

  // ---- contacts ------------------------------------------------------------------------------------------------
  const contactRow = (contact) => {
    const number = String(contact.number || contact.local || '');
    const digits = number.replace(/[^\d+]/g, '');
    const isPhone = digits.length > 1 && /^[+\d\s().-]+$/.test(number);
    const scheme = String(list(contact.channels)) === 'sms' ? 'sms:' : 'tel:';
    const shown = bdi(number, { dir: 'ltr', class: 'num' });
    const copy = button('copy', 'small', async () => {
      try {
        await navigator.clipboard.writeText(number);
      } catch (error) {
        getSelection().selectAllChildren(shown);
        document.execCommand('copy');
      }
      copy.words[0][0] = 'copied';
      paint(copy);
      announce(words.copied);
    });
    copy.setAttribute('aria-describedby', `c${++ids}`);
    const about = el('p', { class: 'fine' });
    const add = (node) => node && about.append(about.firstChild ? ' · ' : '', node);
    if (contact.local && contact.local !== number) add(tag('span', 'inside', {}, { number: contact.local }));
    if (contact.hours) add(bdi(contact.hours));
    if (contact.checked) add(tag('span', 'checked', {}, { date: contact.checked }));
    if (contact.old) add(tag('b', 'old'));
    if (contact.source) add(link(contact.source.url, bdi(contact.source.publisher)));
    return el('li', {},
      el('div', { class: 'who', id: `c${ids}` }, bdi(contact.name)),
      el('div', { class: 'row' },
        isPhone ? el('a', { href: scheme + digits, class: 'tel' }, shown) : address(/^https?:/.test(number) && number) ? link(number, shown) : shown,
        copy),
      contact.note ? el('p', { class: 'fine', dir: 'auto' }, contact.note) : null,
      about);
  };
  const contactList = (contacts) => el('ul', { class: 'cts' }, ...list(contacts).map(contactRow));
  const select = async (situation) => {
    const query = new URLSearchParams({ lang, situation });
    for (const key in person) query.set(key, person[key]);
    try {
      return (await request(`v1/contacts?${query}`)).contacts;
    } catch (error) {
      const saved = await offline();
      if (!saved) throw error;
      return savedContacts(saved.contacts);
    }
  };
  // The same choice as the server's (bot/contacts.py), for when there is no network.
  const savedContacts = (contacts) => {
    const far = ['embassy', 'police', 'emergency', 'ambulance', 'tourist-police'];
    const rank = (c) => (c.for !== 'ALL' ? 0 : c.country === person.country ? 1 : 2);
    return list(contacts).filter((c) => (c.for === 'ALL' || String(c.for).split(',').includes(person.nationality))
      && (!person.country || ((c.dials_from.includes('*') || c.dials_from.includes(person.country))
        && !(far.includes(c.kind) && c.country !== person.country && c.country !== person.nationality))))
      .sort((a, b) => rank(a) - rank(b));
  };
  const picks = (key, field, codes, changed) => {
    const box = el('fieldset', {}, tag('legend', key));
    const chips = [...new Set(codes)].slice(0, 6).map((code) => el('button', {
      type: 'button', class: 'chip', 'data-c': code, 'aria-pressed': String(person[field] === code),
      click: () => pick(code),
    }, country(code)));
    const more = tag('select', key, { class: 'chip', change: () => more.value && pick(more.value) });
    more.words = [[key, {}, 'aria-label']];
    more.replaceChildren(tag('option', 'other', { value: '' }),
      ...COUNTRIES.map((code) => [country(code), code]).sort((a, b) => a[0].localeCompare(b[0], lang))
        .map(([text, code]) => el('option', { value: code }, text)));
    paint(more);
    const show = () => {
      for (const chip of chips) chip.setAttribute('aria-pressed', String(chip.dataset.c === person[field]));
      more.value = chips.some((chip) => chip.dataset.c === person[field]) ? '' : person[field] || '';
    };
    const pick = (code) => {
      person[field] = code;
      show();
      changed();
    };
    show();
    box.append(el('div', { class: 'chips' }, ...chips, more));
    return box;
  };
  // The card with both questions, one tap each; every tap shows the numbers at once.
  const card = (contacts, lines, situation) => {
    const holder = el('div', {}, contactList(contacts));
    let taps = 0;
    const changed = async () => {
      const tap = ++taps;
      try {
        let found = await select(situation);
        // On a slow line the reply to an earlier tap may come last.
        if (tap !== taps) return;
        // Before the place is known, lines of every country of the world help nobody.
        if (!person.country) found = found.filter((c) => c.for !== 'ALL' || c.country === person.nationality);
        holder.replaceChildren(found.length ? contactList(found.slice(0, 8)) : person.country ? tag('p', 'none') : '');
        announce(found.slice(0, 3).map((c) => `${c.name} ${c.number}`).join('. ') || (person.country ? words.none : words.place));
      } catch (error) {
        holder.append(tag('p', 'lost'));
      }
    };
    const likely = LIKELY[lang] ? [LIKELY[lang]] : [];
    const near = { 'zh-Hans': ['CN', 'MY', 'SG'], 'zh-Hant': ['TW', 'HK', 'MO', 'MY'], en: ['IN', 'PH', 'KE', 'UG', 'PK'] }[lang];
    const node = el('section', { class: 'card' }, tag('h2', 'urgent'),
      holder,
      ...(list(lines).length ? [el('ul', { class: 'lines' }, ...lines.map((line) => el('li', { dir: 'auto' }, line)))]
        : [tag('p', 'quiet')]),
      picks('nationality', 'nationality', [person.nationality, ...(near || likely)].filter(Boolean), changed),
      picks('place', 'country', [person.country, ...HOSTS].filter(Boolean), changed));
    node.changed = changed;
    return node;
  };

  // ---- answers -------------------------------------------------------------------------------------------------
  const sourceOf = (source) => el('li', {}, link(source.url, bdi(source.title)), ' ',
    bdi(source.publisher), source.date ? ` ${source.date}` : '');
  const sources = (citations) => {
    const made = new Map();
    for (const c of list(citations)) {
      made.set(c.n, el('details', { class: 'src' },
        el('summary', {}, el('b', {}, `[${c.n}] `), bdi(c.publisher), ' ', el('span', { class: 'fine' }, bdi(c.date))),
        el('blockquote', { lang: c.language, dir: 'auto' }, c.quote),
        el('p', {}, bdi(c.title)),
        el('p', {}, link(c.href, tag('span', 'read')),
          c.n_reprints ? tag('span', 'reprints', { class: 'fine pad' }, { n: c.n_reprints }) : null),
        list(c.sources).length ? el('div', { class: 'fine' }, tag('span', 'rests'), el('ul', {}, ...c.sources.map(sourceOf))) : null));
    }
    return made;
  };
  const marks = (numbers, made) => list(numbers).filter((n) => made.has(n)).map((n) => {
    const mark = el('button', { type: 'button', class: 'mark', click: () => {
      const details = made.get(n);
      details.open = true;
      details.firstChild.focus();
      details.scrollIntoView({ block: 'nearest' });
    } }, String(n));
    return say(mark, 'source_n', { n }, 'aria-label');
  });
  const sourceBox = (made) => (made.size ? el('div', { class: 'srcs' }, tag('p', 'sources', { class: 'fine' }), ...made.values()) : null);
  const questions = (found, click) => (list(found).length ? el('div', { class: 'sug' },
    tag('p', 'more', { class: 'fine' }),
    ...found.map((text) => el('button', { type: 'button', class: 'chip', dir: 'auto', click: () => click(text) }, text))) : null);
  const feedback = (id) => {
    const box = el('div', { class: 'fb', role: 'group' });
    say(box, 'helpful', {}, 'aria-label').words = [['helpful', {}, 'aria-label']];
    const vote = (helpful) => {
      send(helpful);
      const text = el('textarea', { rows: 2, id: `f${++ids}`, autocomplete: 'off', maxlength: 1000 });
      const done = () => { box.replaceChildren(tag('p', 'thanks')); announce(words.thanks); };
      box.replaceChildren(tag('p', 'thanks'), tag('label', 'comment', { for: text.id }), text, button('send', 'small', () => {
        if (text.value.trim()) send(helpful, text.value.trim());
        done();
        input.focus();
      }));
      announce(words.thanks);
      text.focus();
    };
    const send = (helpful, comment) => request('v1/feedback', { answer_id: id, helpful, comment }).catch(() => null);
    const yes = button('yes', 'small', () => vote(true));
    const no = button('no', 'small', () => vote(false));
    box.append(tag('span', 'helpful', { class: 'fine' }), ' ', yes, ' ', no);
    return box;
  };
  const note = (text) => (text ? el('p', { class: 'note', dir: 'auto' }, text) : null);
  const answerNodes = (answer) => {
    const made = sources(answer.citations);
    const isEmergency = answer.status === 'emergency';
    const contacts = list(answer.contacts);
    return [
      isEmergency ? card(contacts, answer.card, answer.situation || 'trapped') : null,
      ...(isEmergency || !answer.offer ? [note(answer.notice)] : []),
      ...(answer.offer ? offerNodes(answer.offer, isEmergency ? null : answer.notice) : []),
      ...list(answer.sentences).map((sentence) => el('p', { dir: 'auto' }, bdi(sentence.text), ' ', ...marks(sentence.citations, made))),
      sourceBox(made),
      !isEmergency && contacts.length ? contactList(contacts) : null,
      questions(answer.suggestions, ask),
      answer.id ? feedback(answer.id) : null,
    ];
  };
  const offerNodes = (found, notice) => {
    const made = sources(found.citations);
    const verdict = ['high_risk', 'suspicious', 'no_known_signs'].find((key) => key === found.verdict) || 'suspicious';
    return [
      tag('p', verdict, { class: `verdict ${verdict}` }),
      note(notice),
      list(found.signals).length ? el('div', {}, tag('p', 'signs', { class: 'fine' }), el('ul', { class: 'signs' },
        ...found.signals.map((signal) => el('li', { dir: 'auto' }, el('b', {}, bdi(signal.label)),
          signal.evidence ? el('q', { dir: 'auto' }, signal.evidence) : null,
          el('span', {}, bdi(signal.explanation), ' ', ...marks(signal.citations, made)))))) : null,
      sourceBox(made),
      list(found.absent).length ? tag('p', 'absent', { class: 'fine' }, { n: found.absent.length }) : null,
      found.text ? el('details', { class: 'src' }, tag('summary', 'read_text'), el('blockquote', { dir: 'auto' }, found.text)) : null,
    ];
  };
  const checkNodes = (found) => [...offerNodes(found, found.notice), list(found.contacts).length ? contactList(found.contacts) : null];
  const spoken = (found) => [words[(found.offer || found).verdict], ...list(found.status === 'emergency' && found.contacts).slice(0, 2)
    .map((c) => `${c.name} ${c.number}`), found.notice, ...list(found.sentences).map((s) => s.text),
  ...list((found.offer || found).signals).map((s) => s.label)].filter(Boolean).join(' ');

  // ---- the conversation ----------------------------------------------------------------------------------------
  const log = el('div', { class: 'log', role: 'region', tabindex: inline ? null : 0 });
  say(log, 'answer', {}, 'aria-label').words = [['answer', {}, 'aria-label']];
  const input = el('textarea', {
    id: 'q', rows: 2, autocomplete: 'off', spellcheck: 'false', 'data-gramm': 'false', dir: 'auto', enterkeyhint: 'send',
    keydown: (event) => {
      // Enter while an input method composes chooses a character and sends nothing.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229 && mode === 'ask') {
        event.preventDefault();
        submit();
      }
    },
  });
  const hint = el('p', { class: 'err', id: 'e', role: 'alert' });
  const complain = (key) => {
    hint.words = [];
    if (key) say(hint, key);
    else hint.textContent = '';
    if (key) input.setAttribute('aria-describedby', 'e');
    else input.removeAttribute('aria-describedby');
  };
  const turn = (shown, send, render) => {
    const box = el('div', { class: 'a' });
    log.append(el('div', { class: 'q', dir: 'auto' }, tag('span', 'you', { class: 'vh' }), el('span', { class: 'vh' }, ': '), shown), box);
    const run = async () => {
      waiting = waiting.filter((other) => other !== run);
      box.replaceChildren(tag('p', 'wait', { class: 'busy' }));
      box.setAttribute('aria-busy', 'true');
      announce(words.wait);
      const slow = setTimeout(() => box.replaceChildren(tag('p', 'slow', { class: 'busy' })), SLOW_MS);
      try {
        const found = await send();
        const nodes = render(found).filter(Boolean);
        if (!nodes.length) throw new Error('empty');
        box.replaceChildren(...nodes);
        announce(spoken(found));
      } catch (error) {
        const status = error && error.status;
        const key = error && error.key ? error.key : error && error.lost ? 'lost' : status === 429 ? 'busy' : status === 503 ? 'unready'
          : status === 413 || (status === 422 && shown.length > 500) ? 'long' : 'failed';
        box.replaceChildren(tag('p', key, { class: 'note' }), button('retry', 'small', run));
        announce(words[key]);
        if (key === 'lost') {
          waiting.push(run);
          const saved = await offline();
          if (saved && waiting.includes(run)) box.append(...savedNodes(saved));
        }
        if (status === 503) box.append(card([], [], 'trapped'));
      } finally {
        clearTimeout(slow);
        box.removeAttribute('aria-busy');
        box.previousSibling && box.previousSibling.scrollIntoView({ block: inline ? 'nearest' : 'start' });
      }
    };
    run();
  };
  // What is kept for use without a network: the numbers, and the answers most needed.
  const savedNodes = (saved) => [
    tag('p', 'saved', { class: 'note' }, { date: saved.date }),
    card(savedContacts(saved.contacts).slice(0, person.nationality || person.country ? 8 : 0), [], 'trapped'),
    questions(list(saved.answers).map((answer) => answer.question), (text) => {
      const answer = saved.answers.find((one) => one.question === text);
      turn(text, async () => answer, answerNodes);
    }),
  ];
  const ask = (text) => turn(text, async () => {
    const found = await request('v1/ask', { question: text, lang: chosen || undefined, conversation_id: conversation || undefined, ...person });
    conversation = found.conversation_id || conversation;
    return found;
  }, answerNodes);
  const check = (text, file) => turn(text || file.name, async () => {
    if (!file) return request('v1/check-offer', { text, lang });
    const form = new FormData();
    form.append('image', await pictureOf(file), 'offer');
    form.append('lang', lang);
    return request('v1/check-offer', form).catch((error) => {
      throw error.status === 422 ? Object.assign(error, { key: 'not_picture' }) : error;
    });
  }, checkNodes);
  const submit = () => {
    const text = input.value.trim();
    const file = mode === 'offer' ? picture : null;
    complain(text || file ? null : 'empty');
    if (!text && !file) return input.focus();
    input.value = '';
    usePicture(null);
    if (mode === 'offer') check(text, file);
    else ask(text);
    return input.focus();
  };
  const usePicture = (file) => {
    const isWrong = file && !/^image\/(png|jpeg|webp)$/.test(file.type);
    complain(isWrong ? 'not_picture' : null);
    picture = isWrong ? null : file;
    pictureName.textContent = picture ? picture.name : '';
    dropPicture.hidden = !picture;
    if (!picture) chooser.value = '';
  };
  const chooser = el('input', {
    type: 'file', id: 'p', class: 'vh', accept: 'image/png,image/jpeg,image/webp', change: () => usePicture(chooser.files[0] || null),
  });
  const pictureName = bdi('', { class: 'fine' });
  const dropPicture = button('remove', 'small', () => { usePicture(null); input.focus(); });
  dropPicture.hidden = true;
  const pictureRow = el('div', { class: 'row', hidden: true }, chooser, tag('label', 'picture', { for: 'p', class: 'small' }), pictureName, dropPicture);
  const inputLabel = tag('label', 'ask_label', { for: 'q' });
  const go = tag('button', 'ask', { type: 'submit', class: 'go' });
  const setMode = (next) => {
    mode = next;
    const isOffer = mode === 'offer';
    modes[0].setAttribute('aria-pressed', String(!isOffer));
    modes[1].setAttribute('aria-pressed', String(isOffer));
    pictureRow.hidden = !isOffer;
    input.rows = isOffer ? 5 : 2;
    inputLabel.words = [[isOffer ? 'offer_label' : 'ask_label']];
    go.words = [[isOffer ? 'check' : 'ask']];
    paint(inputLabel);
    paint(go);
    complain(null);
  };
  const modes = [button('ask', 'chip', () => { setMode('ask'); input.focus(); }), button('mode_offer', 'chip', () => { setMode('offer'); input.focus(); })];
  const form = el('form', { class: 'comp', autocomplete: 'off', submit: (event) => { event.preventDefault(); submit(); } },
    el('div', { class: 'chips' }, ...modes), inputLabel, input, pictureRow, hint, go);

  // ---- the frame around it -------------------------------------------------------------------------------------
  const picker = el('select', { id: 'l', change: () => use(picker.value, true) },
    ...Object.keys(LANGUAGES).map((code) => el('option', { value: code, lang: code }, LANGUAGES[code])));
  const keep = el('input', { type: 'checkbox', id: 'k', change: () => stored(keep.checked ? lang : null) });
  keep.checked = Boolean(remembered);
  const urgentBox = el('div', { hidden: true });
  const urgent = button('urgent', 'alarm', () => showUrgent(urgentBox.hidden));
  const showUrgent = (isShown) => {
    urgentBox.hidden = !isShown;
    urgent.setAttribute('aria-expanded', String(!urgentBox.hidden));
    if (urgentBox.hidden) return;
    if (!person.nationality && LIKELY[lang]) person.nationality = LIKELY[lang];
    const made = card([], [], 'trapped');
    urgentBox.replaceChildren(made);
    if (person.nationality || person.country) made.changed();
    if (onOurPage) made.querySelector('button').focus();
  };
  urgent.setAttribute('aria-expanded', 'false');
  const clear = () => {
    conversation = null;
    person = {};
    waiting = [];
    bundle = null;
    stored(null);
    keep.checked = false;
    chosen = firstChoice;
    log.replaceChildren();
    input.value = '';
    usePicture(null);
    showUrgent(false);
    host.dispatchEvent(new CustomEvent('guitu:clear', { bubbles: true }));
    announce(words.cleared);
    input.focus();
  };
  const exit = () => {
    const away = address(options.exit) || (/^zh-Hans/.test(lang) ? 'https://www.baidu.com/' : 'https://www.google.com/');
    stored(null);
    // Empty first: on a slow line the neutral page takes a while to come. Replace: going back finds nothing.
    document.documentElement.replaceChildren();
    try {
      top.location.replace(away);
    } catch (error) {
      location.replace(away);
    }
  };
  const title = options.title ? bdi(options.title) : tag('span', 'title');
  const tools = el('div', { class: 'tools' },
    el('span', {}, tag('label', 'language', { for: 'l', class: 'vh' }), picker),
    el('span', {}, keep, tag('label', 'remember', { for: 'k', class: 'fine' })),
    button('clear', 'small', clear));
  // Our own page has a card of its own on top, which opens this one.
  urgent.hidden = onOurPage;
  const body = el('div', { class: 'body' }, urgent, urgentBox,
    inline && onOurPage ? null : tag('p', 'intro', { class: 'fine' }), log, tag('p', 'private', { class: 'fine' }));
  panel = el('div', { class: `g ${inline ? 'in' : 'pop'}`, id: 'w' });
  const leave = onOurPage ? null : button('exit', 'small leave', exit);
  const launcher = inline ? null : el('button', { type: 'button', class: 'launch', 'aria-controls': 'w', click: () => (panel.hidden ? open() : close()) },
    options.title ? bdi(options.title) : tag('span', 'title'), el('span', { class: 'vh' }, ' '), tag('span', 'open', { class: 'vh' }));
  if (inline) {
    panel.append(...(leave ? [el('div', { class: 'head' }, el('h2', {}, title), leave)] : []), body, form, tools);
  } else {
    panel.setAttribute('role', 'dialog');
    panel.setAttribute('aria-labelledby', 'h');
    panel.hidden = true;
    launcher.setAttribute('aria-expanded', 'false');
    const shut = el('button', { type: 'button', class: 'small', click: () => close() }, '×');
    say(shut, 'close', {}, 'aria-label');
    panel.append(el('div', { class: 'head' }, el('h2', { id: 'h' }, title), leave, shut), body, form, tools);
  }
  const open = () => {
    panel.hidden = false;
    launcher.setAttribute('aria-expanded', 'true');
    input.focus();
    offline();
  };
  const close = () => {
    panel.hidden = true;
    launcher.setAttribute('aria-expanded', 'false');
    launcher.focus();
  };
  let escaped = 0;
  const keys = (event) => {
    if (event.key !== 'Escape' || event.isComposing) return;
    const now = Date.now();
    if (now - escaped < TWICE_MS) return exit();
    // Only a first press inside the widget counts: the host's own dialogs use Escape too.
    if (!event.composedPath().includes(host)) return;
    escaped = now;
    if (!inline && !panel.hidden) close();
  };
  // On our own page page.js listens, for the whole page.
  if (!onOurPage) addEventListener('keydown', keys, true);
  addEventListener('online', () => [...waiting].forEach((run) => run()));

  const use = async (code, byPerson) => {
    const next = known(code) || 'en';
    if (byPerson) {
      chosen = next;
      if (keep.checked) stored(next);
    }
    if (!WORDS[next]) {
      try {
        WORDS[next] = await request(`static/strings/${next}.json`);
      } catch (error) {
        // Shown in English until the words can be fetched.
        WORDS[next] = undefined;
      }
    }
    lang = next;
    words = WORDS[next] || WORDS.en;
    bundle = null;
    picker.value = next;
    panel.lang = WORDS[next] ? next : 'en';
    for (const node of [panel, launcher]) if (node) node.dir = next === 'ur' ? 'rtl' : 'ltr';
    for (const node of root.querySelectorAll('[data-w]')) paint(node);
    if (!urgentBox.hidden) urgentBox.firstChild.replaceWith(card([], [], 'trapped'));
    host.dispatchEvent(new CustomEvent('guitu:lang', { bubbles: true, detail: { lang: next, byPerson: Boolean(byPerson), isEmpty: !log.firstChild && !input.value } }));
  };

  root.append(...[launcher, panel, live].filter(Boolean));
  host.className = inline ? 'in' : `pop ${side}`;
  if (options.color && CSS_supports(options.color)) {
    host.style.setProperty('--c', options.color);
    host.style.setProperty('--on', ink(options.color));
  }
  const attach = () => {
    if (host.isConnected) return;
    (inline ? document.querySelector(options.target) || document.body : document.body).append(host);
    if (!inline && host.showPopover) {
      // The top layer stands above every z-index of the host.
      host.popover = 'manual';
      host.showPopover();
    }
  };
  if (inline) {
    const typed = target.querySelector('textarea');
    input.value = typed ? typed.value : '';
    target.replaceChildren();
  }
  attach();
  setMode('ask');
  if (!inline) {
    // Single-page applications replace the body, or all that is in it.
    const watch = new MutationObserver(() => {
      if (!host.isConnected && !host.gone && document.body) {
        attach();
        watch.observe(document.body, { childList: true });
      }
    });
    watch.observe(document.documentElement, { childList: true });
    watch.observe(document.body, { childList: true });
  }
  use(onOurPage ? set : remembered || set || known(options.lang === 'page' ? document.documentElement.lang : navigator.language));
  host.guitu = { host, open: () => (inline ? input.focus() : open()), close: () => inline || close(), ask, clear, exit, urgent: () => showUrgent(true),
    destroy: () => { host.gone = true; host.remove(); removeEventListener('keydown', keys, true); } };
  return host.guitu;
};
const CSS_supports = (color) => Boolean(window.CSS && window.CSS.supports('color', color));
// Black or white, whichever is easier to read on `color`.
const ink = (color) => {
  const context = el('canvas').getContext('2d');
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((v) => (v / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? '#000' : '#fff';
};

api.mount = (selector, options) => create({ ...options, target: selector });
const start = () => { api.widget = create(data) || api.widget; };
if (document.body) start();
else addEventListener('DOMContentLoaded', start);
})();
