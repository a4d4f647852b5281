// The console's script. Pages are rendered by the service; this keeps them as the service would
// render them now, and sends clicks to the API. Nothing here decides what a person may do.
'use strict';

(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const meta = (name) => $(`meta[name=${name}]`)?.content ?? '';
  const wordList = JSON.parse($('#words')?.textContent || '{}');
  const words = (key) => wordList[key] ?? '';
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  // The service's clock, by which times on the page are counted.
  const skew = Date.parse(meta('now')) - Date.now() || 0;

  // --- Asking the service ------------------------------------------------------------------------

  async function api(method, path, body, more) {
    const headers = { 'X-CSRF-Token': meta('csrf'), Accept: 'application/json', ...more };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let answer;
    try {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      // What was pressed is done, though the page be left before the answer. 64 KiB may be kept so.
      const keepalive = (sent?.length ?? 0) < 20000;
      answer = await fetch(`/api/v1/${path}`, { method, headers, body: sent, keepalive });
    } catch {
      throw new Error(words('no_connection'));
    }
    if (answer.status === 401) {
      location.assign('/sign-in');
      throw new Error('');
    }
    const text = await answer.text();
    let value = {};
    try { value = text ? JSON.parse(text) : {}; } catch { value = { text }; }
    if (!answer.ok) {
      const said = words(`code_${value.code}`) || words(`error_${value.error}`) || value.text || words('failed');
      throw Object.assign(new Error(value.code ? `${value.code}: ${said}` : said), { status: answer.status, code: value.code, kind: value.error, tag: answer.headers.get('ETag'), field: /^[^:]*(?=:)/.exec(value.text)?.[0] });
    }
    return value;
  }

  // --- Saying things -----------------------------------------------------------------------------

  function announce(text) {
    const place = $('#announcer');
    if (!place || !text) return;
    place.textContent = '';
    setTimeout(() => { place.textContent = text; }, 30);
  }

  function toast(text, bad) {
    if (!text) return;
    const place = $('#toasts');
    const box = document.createElement('div');
    box.className = bad ? 'toast bad' : 'toast';
    box.append(text);
    const close = document.createElement('button');
    close.type = 'button';
    close.textContent = '✕';
    close.setAttribute('aria-label', words('close'));
    close.onclick = () => box.remove();
    box.append(close);
    place.append(box);
    while (place.children.length > 3) place.firstElementChild.remove();
    setTimeout(() => box.remove(), bad ? 12000 : 6000);
  }

  // Errors stay in the row of their call until its next action.
  const rowErrors = new Map();

  function showRowErrors() {
    for (const [call, text] of rowErrors) {
      const cell = $(`#c-${call} td:last-child`);
      if (!cell) { rowErrors.delete(call); continue; }
      let line = $('.rowerror', cell);
      if (!line) {
        line = document.createElement('p');
        line.className = 'rowerror';
        line.dataset.keep = '';
        cell.append(line);
      }
      if (line.textContent !== text) line.textContent = text;
    }
  }

  function failed(error, call) {
    if (!error.message) return;
    if (call && $(`#c-${call}`)) {
      rowErrors.set(call, error.message);
      showRowErrors();
    }
    toast(error.message, true);
  }

  // --- Making the page what the service says -------------------------------------------------------

  // Turns `old` into `fresh` with as few touches as can be, so that focus, selection and what is
  // being typed survive.
  function morph(old, fresh) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== 'open' && name !== 'aria-busy') old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (name !== 'open' && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.matches('input, textarea, select')) return;
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      while (at && at.dataset?.keep !== undefined) at = at.nextSibling;
      let same = null;
      if (wanted.id) same = at?.id === wanted.id ? at : [...old.children].find((child) => child.id === wanted.id);
      else if (at && !at.id && at.nodeName === wanted.nodeName) same = at;
      if (same) {
        if (same === at) at = at.nextSibling;
        else old.insertBefore(same, at);
        if (same.nodeType === 1) morph(same, wanted);
        else if (same.data !== wanted.data) same.data = wanted.data;
      } else {
        old.insertBefore(document.importNode(wanted, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      if (at.dataset?.keep === undefined) at.remove();
      at = next;
    }
  }

  // Times as the reader's own clock shows them, and the zone of that clock; where they are to be
  // compared with other records they stay in UTC, and are told so when pointed at.
  function localTimes() {
    const { lang } = document.documentElement;
    const format = new Intl.DateTimeFormat(lang, { dateStyle: 'short', timeStyle: 'medium' });
    for (const time of $$('time[data-local]')) {
      const text = format.format(new Date(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
    for (const time of $$('time[data-pointed]')) {
      const text = format.format(new Date(time.dateTime));
      if (time.title !== text) time.title = text;
    }
    const zone = $('[data-zone]');
    const { timeZone } = format.resolvedOptions();
    if (zone && timeZone !== 'UTC') zone.textContent = fill(zone.dataset.zone, { zone: timeZone });
  }

  let before = seen();

  // What there is to say on this page, by element.
  function seen() {
    return new Map($$('[data-say]').map((element) => [element.id, element.dataset.say]));
  }

  function tellChanges() {
    const now = seen();
    for (const [id, text] of now) {
      if (before.get(id) !== text) {
        announce(text);
        if (!before.has(id)) notify($(`#${id}`));
      }
    }
    for (const id of before.keys()) if (id.startsWith('m-') && !now.has(id)) announce(words('monitoring_ended'));
    before = now;
  }

  const dismissed = new Set(JSON.parse(sessionStorage.getItem('dismissed') || '[]'));

  function settle() {
    for (const note of $$('[data-note]')) note.hidden = dismissed.has(note.dataset.note);
    search();
    localTimes();
    showRowErrors();
    tick();
    tellChanges();
    rolesAwaited();
  }

  let asking = false;
  let askAgain = false;
  let only = new Set();
  let whole = false;

  // Fetches the page as it would be now, or just some rows of it, and patches what is live.
  async function refresh() {
    if (asking) { askAgain = true; return; }
    asking = true;
    const rows = whole || !$('#rows') ? null : only;
    only = new Set();
    whole = false;
    try {
      const headers = { Accept: 'text/html' };
      if (rows) headers['X-Rows'] = [...rows].join(',');
      const answer = await fetch(location.pathname + location.search, { headers });
      if (answer.redirected && new URL(answer.url).pathname === '/sign-in') return location.assign('/sign-in');
      if (!answer.ok) return;
      connection.answers = true;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const focused = document.activeElement;
      const partial = rows && fresh.getElementById('rows');
      for (const region of $$('[data-live]')) {
        const wanted = fresh.getElementById(region.id);
        if (!wanted) continue;
        if (region.id === 'calls' && partial) patchRows(rows, fresh);
        else if (region.id === 'calls' && rows && $('#rows').rows.length > rows.size) patchRows(rows, fresh);
        else morph(region, wanted);
      }
      if (!$('#rows') !== !fresh.getElementById('rows') && rows) { whole = true; askAgain = true; }
      connection.draining = fresh.getElementById('live')?.dataset.service === 'draining';
      connection.at = Date.now();
      showConnection();
      settle();
      // What had the focus went: the page has it, so that Tab leads on from there.
      if (focused !== document.body && !focused?.isConnected) $('#main').focus({ preventScroll: true });
    } catch {
      // The next event, or the next beat, asks again.
      connection.answers = false;
      showConnection();
    } finally {
      asking = false;
      if (askAgain) { askAgain = false; soon(); }
    }
  }

  function patchRows(ids, fresh) {
    const body = $('#rows');
    for (const id of ids) {
      const old = $(`#c-${id}`, body);
      const wanted = fresh.getElementById(`c-${id}`);
      if (old && wanted) morph(old, wanted);
      else if (old) old.remove();
      else if (wanted) body.append(document.importNode(wanted, true));
    }
    if (!body.rows.length) { whole = true; askAgain = true; }
  }

  let timer = 0;
  function soon(wait = 60) {
    if (!timer) timer = setTimeout(() => { timer = 0; refresh(); }, wait);
  }

  function everything() {
    whole = true;
    soon();
  }

  // --- Live ----------------------------------------------------------------------------------------

  const EVENTS = ['call.started', 'call.changed', 'call.ended', 'session.started', 'session.role', 'session.ended',
    'help.requested', 'help.accepted', 'help.closed', 'help.cancelled', 'agent.on_call', 'agent.presence', 'reset'];

  // Whether events come, whether pages do, and of when what is shown is.
  const connection = { events: null, answers: true, draining: $('#live')?.dataset.service === 'draining', at: Date.now(), lost: false };
  addEventListener('pagehide', () => { connection.left = true; });
  addEventListener('pageshow', () => { connection.left = false; });

  function showConnection() {
    const strip = $('#lost');
    const light = $('#live');
    if (!strip || connection.left) return;
    connection.lost = connection.events === false || !connection.answers;
    const state = connection.lost ? 'off' : connection.draining ? 'draining' : connection.events ? 'on' : '';
    if (light.dataset.state !== state) light.dataset.state = state;
    const word = light.dataset[state] ?? '';
    if (light.firstElementChild.textContent !== word) light.firstElementChild.textContent = word;
    const time = new Date(connection.at).toLocaleTimeString(document.documentElement.lang);
    const text = connection.lost ? fill(strip.dataset.lost, { time }) : connection.draining ? strip.dataset.draining : '';
    strip.hidden = !text;
    if ($('b', strip).textContent !== text) $('b', strip).textContent = text;
  }

  function connect() {
    // Administrators are told of no calls.
    if (!['supervisor', 'agent'].includes(document.body.dataset.kind)) return;
    const stream = new EventSource('/api/v1/events');
    const show = (on) => { connection.events = on; showConnection(); };
    stream.onopen = () => { show(true); everything(); };
    stream.onerror = () => {
      show(false);
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => { everything(); connect(); }, 3000);
    };
    for (const name of EVENTS) {
      stream.addEventListener(name, (event) => {
        let data = {};
        try { data = JSON.parse(event.data); } catch { /* a word is enough to look */ }
        const call = callOf(name, data);
        if (name === 'help.closed') toast(words('help_closed'));
        if (call) only.add(call);
        // What an agent does is no row of the list of calls, but may be a notice above it.
        else if (name.startsWith('agent.') && $('#rows')) only.add('none');
        else whole = true;
        soon();
      });
    }
  }

  function callOf(name, data) {
    if (typeof data.call === 'string') return data.call;
    if (data.call && typeof data.call.id === 'string') return data.call.id;
    if (name.startsWith('call.') && typeof data.id === 'string') return data.id;
    return null;
  }

  // --- Time ----------------------------------------------------------------------------------------

  function clockText(seconds) {
    const two = (n) => String(n).padStart(2, '0');
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    return h ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
  }

  function tick() {
    // What is not known to go on is not counted on.
    if (connection.lost) return;
    const now = Date.now() + skew;
    for (const time of $$('time[data-since]')) {
      const since = Date.parse(time.dataset.since);
      if (!since) continue;
      const text = clockText(Math.max(0, Math.floor((now - since) / 1000)));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // --- Notifications of the browser ------------------------------------------------------------------

  function notify(element) {
    const title = element?.dataset.notify;
    if (!title || element.hidden || !('Notification' in window) || Notification.permission !== 'granted') return;
    try {
      const shown = new Notification(title, { tag: element.id, lang: document.documentElement.lang });
      shown.onclick = () => {
        window.focus();
        shown.close();
        const again = document.getElementById(element.id);
        $('button', again || undefined)?.click();
      };
    } catch {
      // Some phones show notifications from a service worker only; the page shows it anyway.
    }
  }

  function showPermission() {
    const place = $('#permission');
    if (!place) return;
    const state = 'Notification' in window ? Notification.permission : 'unsupported';
    for (const part of $$('[data-permission]', place)) part.hidden = part.dataset.permission !== state;
  }

  // --- Listening -----------------------------------------------------------------------------------

  // Roles that were asked for before there was a session to have them: call → role, and the session
  // that is to have it; who dials in has none yet.
  const awaited = new Map();

  function rolesAwaited() {
    for (const [call, wish] of awaited) {
      const card = $(wish.session ? `#m-${wish.session}` : `.monitor[data-call="${call}"]`);
      if (!card) {
        // A wish ends with its session, so that no later one has it.
        if (wish.seen) awaited.delete(call);
        continue;
      }
      wish.seen = true;
      if (card.dataset.state !== 'monitor') continue;
      awaited.delete(call);
      setRole(card.dataset.session, wish.role, call);
    }
  }

  async function setRole(session, role, call) {
    try {
      await api('PATCH', `sessions/${session}`, { role });
    } catch (error) {
      failed(error, call);
    }
    only.add(call);
    await refresh();
  }

  let ticketTimer = 0;

  function openListen(place, role) {
    const dialog = $('#listen');
    const { call, agent, customer } = place.dataset;
    rowErrors.delete(call);
    // The dialog has its words twice: for listening, and by the name of each other role.
    const of = (part) => fill(dialog.dataset[role ? `${part}_${role}` : part] ?? '', { agent });
    Object.assign(dialog.dataset, { call, role });
    $('#listen-title').textContent = of('title');
    $('[data-go]', dialog).textContent = of('go');
    $('button[type=submit] use', dialog).setAttribute('href', `#i-${of('icon')}`);
    $('button[type=submit]', dialog).classList.toggle('danger', role === 'takeover');
    $('[data-customer]', dialog).textContent = customer;
    const follows = $('[data-follows]', dialog);
    follows.textContent = of('follows');
    follows.hidden = !role;
    step(dialog, 'choose');
    // Who asks to speak asks for no session that only listens.
    $('[data-coaching]', dialog).hidden = Boolean(role);
    wrong(dialog, '');
    const last = localStorage.getItem('listen');
    const wanted = last && $(`input[name=how][value="${last}"]:not(:disabled)`, dialog);
    if (wanted) wanted.checked = true;
    dialog.showModal();
    ($('input[name=how]:checked', dialog) || $('button', dialog)).focus();
  }

  function step(dialog, name) {
    clearInterval(ticketTimer);
    for (const part of $$('[data-step]', dialog)) part.hidden = part.dataset.step !== name;
  }

  function wrong(dialog, text) {
    const line = $('[data-wrong]', dialog);
    line.textContent = text;
    line.hidden = !text;
  }

  async function submitListen(dialog) {
    const { call, role } = dialog.dataset;
    const how = $('input[name=how]:checked', dialog)?.value;
    if (!how) return;
    localStorage.setItem('listen', how);
    try {
      if (how === 'dial') {
        if (role) awaited.set(call, { role });
        return showTicket(dialog, await api('POST', `calls/${call}/ticket`));
      }
      const number = $('input[name=number]', dialog)?.value.trim();
      if (how === 'number' && !number) return wrong(dialog, words('number_missing'));
      const device = how === 'all' ? 'all' : how === 'one' ? $('select[name=device]', dialog).value : number;
      const coaching = Boolean(role) || $('input[name=coaching]', dialog).checked;
      const session = await api('POST', `calls/${call}/sessions`, { device, coaching_enabled: coaching });
      if (role) awaited.set(call, { role, session: session.id });
      dialog.close();
      announce(words('ringing'));
    } catch (error) {
      awaited.delete(call);
      wrong(dialog, error.message);
      if ($(`#c-${call}`) && error.message) {
        rowErrors.set(call, error.message);
        showRowErrors();
      }
    }
    only.add(call);
    refresh();
  }

  function showTicket(dialog, ticket) {
    step(dialog, 'dial');
    const link = $('[data-dial]', dialog);
    link.href = `tel:${ticket.dial}`;
    link.textContent = ticket.dial;
    link.focus();
    const left = $('[data-left]', dialog);
    const until = Date.parse(ticket.expires_at);
    const count = () => {
      const seconds = Math.max(0, Math.round((until - Date.now() - skew) / 1000));
      left.textContent = clockText(seconds);
      const joined = $(`.monitor[data-call="${dialog.dataset.call}"]`);
      if (!seconds || joined) { clearInterval(ticketTimer); dialog.close(); }
    };
    count();
    ticketTimer = setInterval(count, 500);
  }

  // Who closes the number to dial wants nothing of whoever dials in later.
  $('#listen')?.addEventListener('close', ({ target: dialog }) => {
    const { call } = dialog.dataset;
    if (!$('[data-step=dial]', dialog).hidden && !$(`.monitor[data-call="${call}"]`)) awaited.delete(call);
    step(dialog, 'choose');
  });

  async function submitHangUp(dialog) {
    const { call } = dialog.dataset;
    try {
      await api('POST', `calls/${call}/hangup`, { confirm: true });
      dialog.close();
      // The row goes, and what was pressed with it.
      $('#main').focus({ preventScroll: true });
    } catch (error) {
      if (error.status === 404) dialog.close();
      else wrong(dialog, error.message);
      failed(error, call);
    }
    only.add(call);
    refresh();
  }

  // --- Clicks --------------------------------------------------------------------------------------

  const DO = {
    async listen(button, place) {
      if (place.dataset.session) return DO.end(button, place);
      openListen(place, '');
    },
    async role(button, place) {
      await setRole(place.dataset.session, button.dataset.role, place.dataset.call);
    },
    coach: (button, place) => roleOfRow(place, 'coach'),
    whisper_caller: (button, place) => roleOfRow(place, 'whisper_caller'),
    barge: (button, place) => roleOfRow(place, 'barge'),
    takeover: (button, place) => roleOfRow(place, 'takeover'),
    async end(button, place) {
      const { session } = place.dataset;
      if (button.dataset.sure && !await sure(button)) return;
      await api('DELETE', `sessions/${session}`);
      only.add(place.dataset.call);
      await refresh();
    },
    async hangup(button, place) {
      const dialog = $('#hangup');
      const data = { ...place.dataset, ...button.dataset };
      rowErrors.delete(data.call);
      dialog.dataset.call = data.call;
      $('#hangup-text').textContent = fill(dialog.dataset.text, data);
      wrong(dialog, '');
      dialog.showModal();
    },
    async dial(link, place) {
      await api('POST', `calls/${place.dataset.call}/ticket`);
      location.assign(link.href);
    },
    async dismiss(button, place) {
      dismissed.add(place.dataset.note);
      sessionStorage.setItem('dismissed', JSON.stringify([...dismissed].slice(-50)));
      settle();
    },
    async monitor() {
      const ticked = $$('input[name=agent]:checked');
      const form = $('#status');
      if (ticked.length !== 1) return toast(ticked.length ? form.dataset.several : form.dataset.none, true);
      const row = ticked[0].closest('[data-call]');
      if (!row?.dataset.call) return toast(fill(form.dataset.idle, { agent: ticked[0].dataset.agent }), true);
      openListen(row, '');
    },
    async watch(button) {
      const on = (button.dataset.watched ?? button.getAttribute('aria-pressed')) === 'true';
      await api(on ? 'DELETE' : 'PUT', `watchlist/${encodeURIComponent(button.dataset.extension)}`);
      if (!on && 'Notification' in window && Notification.permission === 'default') Notification.requestPermission().then(showPermission);
      everything();
    },
    async permit() {
      await Notification.requestPermission();
      showPermission();
    },
    'help-accept': (button, place) => help(place, 'accept'),
    'help-close': (button, place) => help(place, 'close'),
    async 'help-cancel'(button, place) {
      if (await sure(button)) await help(place, 'cancel');
    },
    async 'sign-out'() {
      await api('POST', 'logout');
      location.assign('/sign-in');
    },
    async 'close-dialog'(button) {
      button.closest('dialog').close();
    },
    async post(button) {
      const result = await api('POST', button.dataset.path);
      const bad = result.delivered === false;
      toast(fill(bad ? button.dataset.bad : button.dataset.good, result), bad);
      everything();
    },
    async remove(button) {
      if (!await sure(button)) return;
      await api('DELETE', button.dataset.path);
      // A list that is not kept live is asked for again.
      if (button.closest('[data-live]')) everything();
      else location.reload();
    },
  };

  async function help(place, verb) {
    await api('POST', `help-requests/${place.dataset.help}/${verb}`);
    if (verb === 'accept') toast(words('help_accepted'));
    everything();
  }

  // Asks in a dialog, with the words that the button carries.
  function sure(button) {
    const dialog = $('#sure');
    $('#sure-text').textContent = button.dataset.sure;
    $('button[type=submit]', dialog).textContent = button.dataset.yes || button.textContent;
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise((resolve) => { dialog.onclose = () => resolve(dialog.returnValue === 'yes'); });
  }

  async function roleOfRow(place, role) {
    if (place.dataset.session) return setRole(place.dataset.session, role, place.dataset.call);
    openListen(place, role);
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-do]');
    if (!button || !DO[button.dataset.do]) return;
    event.preventDefault();
    if (button.getAttribute('aria-busy') === 'true') return;
    const place = button.closest('[data-session], [data-call], [data-help]') || button;
    button.setAttribute('aria-busy', 'true');
    try {
      await DO[button.dataset.do](button, place);
    } catch (error) {
      failed(error, place.dataset.call);
      everything();
    } finally {
      button.removeAttribute('aria-busy');
    }
  });

  document.addEventListener('submit', async (event) => {
    const form = event.target;
    const dialog = form.closest('dialog');
    if (dialog?.id === 'sure') return;
    if (dialog) {
      event.preventDefault();
      const button = $('button[type=submit]', form);
      if (button.getAttribute('aria-busy') === 'true') return;
      button.setAttribute('aria-busy', 'true');
      await (dialog.id === 'listen' ? submitListen : submitHangUp)(dialog);
      button.removeAttribute('aria-busy');
      return;
    }
    if (form.dataset.send) {
      event.preventDefault();
      await sendForm(form);
    }
  });

  // A form that is an API call: its fields are the body, `data-send` the method and `data-path` the
  // path with fields in braces.
  async function sendForm(form) {
    const body = {};
    const values = {};
    for (const field of form.elements) {
      if (field.dataset.remove !== undefined && field.checked) body[field.dataset.remove] = null;
      if (!field.name) continue;
      if (field.type === 'file') {
        body[field.name] = await field.files[0]?.text();
        continue;
      }
      const value = field.type === 'checkbox' ? field.checked : field.value.trim();
      values[field.name] = encodeURIComponent(value);
      if (field.dataset.list !== undefined) {
        if (field.type === 'checkbox') { (body[field.name] ??= []); if (field.checked) body[field.name].push(field.value); }
        else body[field.name] = value.split(',').map((part) => part.trim()).filter(Boolean);
      } else if (field.dataset.url === undefined && (value !== '' || field.dataset.empty !== undefined)) {
        body[field.name] = value;
      }
    }
    const place = $('[data-wrong]', form);
    for (const field of $$('[aria-invalid]', form)) field.removeAttribute('aria-invalid');
    const button = $('button[type=submit], button:not([type])', form);
    button?.setAttribute('aria-busy', 'true');
    try {
      const path = fill(form.dataset.path, values);
      // A form that adds overwrites nothing, and one that changes nothing that it has not seen.
      const more = form.dataset.fresh !== undefined ? { 'If-None-Match': '*' } : form.dataset.tag ? { 'If-Match': form.dataset.tag } : {};
      let result = {};
      if (form.dataset.csv !== undefined) result = await sendText(path, body.csv || '', form.dataset.result);
      else result = await api(form.dataset.send, path, form.dataset.bare !== undefined ? undefined : body, more);
      if (place) place.hidden = true;
      const said = form.dataset.result ? fill(form.dataset.result, result) : form.dataset.done;
      // What is told this once stays to be read.
      const told = $('[data-told]', form);
      if (told) { told.textContent = said; told.hidden = false; } else toast(said);
      // What is said is read before the page is there again.
      if (form.dataset.then !== undefined) { sessionStorage.setItem('said', said || ''); location.reload(); }
      else { form.reset(); everything(); }
    } catch (error) {
      if (error.kind === 'changed') return changedMeanwhile(form, error.tag);
      if (error.status === 412) {
        const name = $('input[data-url]:not([type=hidden])', form);
        error.message = fill(words('exists'), { name: name.value.trim() });
        error.field = name.name;
      }
      if (place) { place.textContent = error.message; place.hidden = !error.message; } else failed(error);
      // The service names the field that it could not take.
      const wrong = [...form.elements].find((field) => field.name && new RegExp(`\\b${field.name}\\b`).test(error.field ?? ''));
      if (wrong) { wrong.setAttribute('aria-invalid', 'true'); wrong.focus(); }
    } finally {
      button?.removeAttribute('aria-busy');
    }
  }

  // Somebody else was faster. What was typed stays, and is sent over theirs if it is sent again.
  function changedMeanwhile(form, tag) {
    form.dataset.tag = tag || '';
    const place = $('[data-wrong]', form);
    const text = fill(words(tag ? 'changed' : 'gone'), { name: form.dataset.name });
    place.replaceChildren(text);
    if (tag) {
      const link = document.createElement('a');
      link.href = form.dataset.at;
      link.target = '_blank';
      link.textContent = words('changed_look');
      place.append(' ', link);
    }
    place.hidden = false;
  }

  async function sendText(path, text, said) {
    const answer = await fetch(`/api/v1/${path}`, {
      method: 'POST', body: text, headers: { 'Content-Type': 'text/csv', 'X-CSRF-Token': meta('csrf'), Accept: 'application/json' },
    });
    if (!answer.ok) {
      const value = await answer.json().catch(() => ({}));
      throw new Error(value.text || words('failed'));
    }
    const result = await answer.json().catch(() => ({}));
    // What was taken is told as well as what was not.
    const wrong = (result.errors || []).slice(0, 5).map((line) => fill(words('line'), line));
    if (wrong.length) throw new Error([fill(said, result), ...wrong].join('\n'));
    return result;
  }

  document.addEventListener('change', (event) => {
    const field = event.target;
    // What is taken away is not typed anew.
    const other = field.dataset.remove && field.form.elements[field.dataset.remove];
    if (other) { other.disabled = field.checked; if (field.checked) other.value = ''; }
    if (field.dataset.submit !== undefined) field.form.submit();
    if (field.name === 'device' || field.name === 'number') {
      const option = field.closest('.opt')?.querySelector('input[type=radio]');
      if (option) option.checked = true;
    }
  });

  // What the page's search field leaves to be seen; said again after every patch.
  function search() {
    const field = $('[data-search]');
    if (!field) return;
    const wanted = field.value.trim().toLowerCase();
    for (const row of $$('[data-find]')) row.hidden = !row.dataset.find.toLowerCase().includes(wanted);
    // Who looks for somebody looks into what is folded as well.
    for (const group of $$('details[data-fold]')) {
      const found = $$('[data-find]', group).some((row) => !row.hidden);
      if (wanted) {
        group.dataset.was ??= group.open;
        group.open = found;
      } else if (group.dataset.was) {
        group.open = group.dataset.was === 'true';
        delete group.dataset.was;
      }
      group.hidden = Boolean(wanted) && !found;
    }
  }

  document.addEventListener('input', (event) => {
    if (event.target.dataset.search !== undefined) search();
  });

  for (const part of $$('details[data-remember]')) {
    const key = `open-${part.dataset.remember}`;
    if (localStorage.getItem(key) === 'no') part.open = false;
    else if (localStorage.getItem(key) === 'yes') part.open = true;
    part.addEventListener('toggle', () => { if (part.dataset.was === undefined) localStorage.setItem(key, part.open ? 'yes' : 'no'); });
  }

  showPermission();
  settle();
  toast(sessionStorage.getItem('said'));
  sessionStorage.removeItem('said');
  if (document.body.dataset.kind) {
    connect();
    setInterval(tick, 1000);
    // What no event tells of, such as a contact's name, is at most this old: five seconds, more on a busy floor.
    const beat = () => {
      if (!document.hidden) everything();
      setTimeout(beat, Math.max(5, ($('#rows')?.rows.length ?? 0) / 25) * 1000);
    };
    setTimeout(beat, 5000);
    document.addEventListener('visibilitychange', () => { if (!document.hidden) everything(); });
  }
})();
