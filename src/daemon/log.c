#include "daemon/log.h"
#include "base/io.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct {
    char process[32];
    bool json;
    bool journal; /* standard error leads to the journal, which takes "<6>" off */
    int level;
} settings = {.process = "encrootd", .level = LOG_INFO};

static const char *const level_names[] = {
    [LOG_ERR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

static const char *level_name(int level)
{
    return level >= 0 && (size_t)level < ARRAY_SIZE(level_names) && level_names[level]
               ? level_names[level]
               : "info";
}

/* $JOURNAL_STREAM is the device and inode of the journal's socket (systemd.exec(5)); a standard
 * error that was led elsewhere since is another one. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *process, bool json, int level)
{
    snprintf(settings.process, sizeof(settings.process), "%s", process);
    settings.json = json;
    settings.journal = is_journal();
    settings.level = level;
}

/* ---- as text ---- */
/*
 * Control characters as \xNN, those of C1 too (0x80 to 0x9f behind 0xc2), so that no line can
 * pretend to be two, or steer a terminal; between quotes, what would end them has a backslash, so
 * that no value can pretend to be several.
 */
static int put_plain(struct buffer *line, const char *text, bool quoted)
{
    int r = 0;
    for (const unsigned char *p = (const unsigned char *)text; r == 0 && *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            r = buffer_printf(line, "\\x%02x", *p);
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            r = buffer_printf(line, "\\xc2\\x%02x", *++p);
        else if (quoted && (*p == '"' || *p == '\\'))
            r = buffer_printf(line, "\\%c", *p);
        else
            r = buffer_append(line, p, 1);
    return r;
}

static int put_field(struct buffer *line, const struct log_field *f)
{
    bool quoted = !*f->value || strpbrk(f->value, " \"=\\");
    int r = buffer_printf(line, " %s=%s", f->key, quoted ? "\"" : "");
    if (r == 0)
        r = put_plain(line, f->value, quoted);
    if (r == 0 && quoted)
        r = buffer_append(line, "\"", 1);
    return r;
}

static int format_text(struct buffer *line, int level, const char *message,
                       const struct log_field *fields)
{
    int r = settings.journal ? buffer_printf(line, "<%d>", level) : 0;
    if (r == 0)
        r = buffer_printf(line, "%s: %s%s", settings.process,
                          !settings.journal && level <= LOG_WARNING ? level_name(level) : "",
                          !settings.journal && level <= LOG_WARNING ? ": " : "");
    if (r == 0)
        r = put_plain(line, message, false);
    for (; r == 0 && fields && fields->key; fields++)
        r = fields->value ? put_field(line, fields) : 0;
    return r;
}

/* ---- as JSON ---- */
static void put_time(char text[32])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, 32 - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static int format_json(struct buffer *line, int level, const char *message,
                       const struct log_field *fields)
{
    char time[32];
    put_time(time);
    _json_ json_t *o = json_pack("{s:s, s:s, s:s, s:o}", "time", time, "level", level_name(level),
                                 "process", settings.process, "message", plain_json(message));
    for (; o && fields && fields->key; fields++)
        if (fields->value && json_object_set_new(o, fields->key, plain_json(fields->value)) < 0)
            return -ENOMEM;
    _free_ char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    return text ? buffer_append(line, text, strlen(text)) : -ENOMEM;
}

/* ---- */
void log_event(int level, const char *message, const struct log_field *fields)
{
    _buffer_ struct buffer line = {0};
    if (level > settings.level)
        return;
    int r = (settings.json ? format_json : format_text)(&line, level, message, fields);
    if (r == 0)
        r = buffer_append(&line, "\n", 1);
    /* One write: lines of several processes do not mix. There is nowhere to report a failure. */
    if (r < 0 || write(STDERR_FILENO, line.data, line.size) < 0)
        return;
}

void log_line(int level, const char *fmt, ...)
{
    char message[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    log_event(level, message, NULL);
}

void log_error(int level, const struct error *err, const char *fmt, ...)
{
    char context[ERROR_TEXT_MAX / 2], message[2 * ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    snprintf(message, sizeof(message), "%s: %s%s%s%s", context, err->text, err->hint[0] ? " (" : "",
             err->hint, err->hint[0] ? ")" : "");
    log_event(level, message, NULL);
}
