// What our own pages add to the widget: quick exit everywhere, disguise, copy buttons, use without a network.
(() => {
'use strict';
const TWICE_MS = 600;
const exitLink = document.getElementById('exit');
const neutralLink = document.getElementById('neutral');
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('guitu') : null;
const isNeutral = () => new URLSearchParams(location.search).get('n') === '1';
window.Guitu = window.Guitu || {};
window.Guitu.neutral = isNeutral();

// Everything that this site keeps in the browser.
const forget = async () => {
  try {
    localStorage.clear();
    sessionStorage.clear();
    for (const name of await caches.keys()) await caches.delete(name);
    for (const one of await navigator.serviceWorker.getRegistrations()) await one.unregister();
  } catch (error) { /* refused, or not there: then nothing is kept */ }
};
const leave = (isEcho) => {
  const away = exitLink.href;
  if (!isEcho && channel) channel.postMessage('leave');
  // Empty first: on a slow line the neutral page takes a while to come. Replace: going back finds nothing.
  document.documentElement.replaceChildren();
  forget();
  location.replace(away);
};
exitLink.addEventListener('click', (event) => { event.preventDefault(); leave(); });
let escaped = 0;
addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.isComposing) return;
  const now = Date.now();
  if (now - escaped < TWICE_MS) leave();
  escaped = now;
}, true);
// Articles open in tabs of their own; they all go at once.
if (channel) channel.addEventListener('message', (event) => { if (event.data === 'leave') leave(true); });
addEventListener('pageshow', (event) => {
  // A page brought back from memory would show what was cleared.
  if (event.persisted) location.reload();
});

const links = () => [...document.querySelectorAll('a[href]'),
  ...[...document.querySelectorAll('guitu-chat')].flatMap((chat) => [...chat.shadowRoot.querySelectorAll('a[href]')])];
neutralLink.addEventListener('click', (event) => {
  if (isNeutral()) return;
  event.preventDefault();
  document.title = neutralLink.dataset.title;
  document.querySelector('link[rel=icon]').href = neutralLink.dataset.icon;
  for (const extra of document.querySelectorAll('link[rel=manifest],link[rel=canonical]')) extra.remove();
  const url = new URL(location.href);
  url.searchParams.set('n', '1');
  history.replaceState(null, '', url);
  window.Guitu.neutral = true;
  for (const one of links()) {
    const to = new URL(one.href);
    if (to.origin !== location.origin) continue;
    to.searchParams.set('n', '1');
    one.href = to;
  }
});

for (const copy of document.querySelectorAll('.copy')) {
  copy.hidden = false;
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(copy.dataset.copy);
    } catch (error) {
      getSelection().selectAllChildren(copy.parentElement.querySelector('.num'));
      document.execCommand('copy');
    }
    copy.textContent = copy.dataset.copied;
  });
}
const print = document.getElementById('print');
if (print) {
  print.hidden = false;
  print.addEventListener('click', () => window.print());
}
const urgent = document.getElementById('urgent');
if (urgent) {
  urgent.addEventListener('click', (event) => {
    if (!window.Guitu.widget) return;
    event.preventDefault();
    window.Guitu.widget.urgent();
  });
}
// A cited passage is shown and, for those who do not see, comes next.
const quote = document.getElementById('quote');
if (quote && location.hash === '#quote') quote.focus({ preventScroll: false });

addEventListener('guitu:lang', (event) => {
  // With nothing written yet the whole page changes its language; else the chat alone, and nothing is lost.
  if (event.detail.byPerson && event.detail.isEmpty) {
    const url = new URL(location.href);
    url.searchParams.set('lang', event.detail.lang);
    location.replace(url);
  }
});
addEventListener('guitu:clear', forget);

// Trusted Types: the one address that this site ever hands to the browser as a script.
const worker = () => {
  const policy = window.trustedTypes && trustedTypes.createPolicy('guitu', {
    createScriptURL: (url) => { if (url !== '/sw.js') throw new TypeError(url); return url; },
  });
  return policy ? policy.createScriptURL('/sw.js') : '/sw.js';
};
if ('serviceWorker' in navigator && document.getElementById('chat') && !isNeutral()) {
  addEventListener('load', () => setTimeout(() => {
    navigator.serviceWorker.register(worker()).then(() => navigator.serviceWorker.ready)
      .then((ready) => {
        const files = [...document.querySelectorAll('script[src],link[rel=stylesheet],link[rel=icon]')].map((one) => one.src || one.href);
        const lang = document.documentElement.lang;
        ready.active.postMessage({ page: `/?lang=${lang}`, files: [...files, `/offline.json?lang=${lang}`, `/static/strings/${lang}.json`] });
      }).catch(() => null);
  }, 1500));
}
})();
