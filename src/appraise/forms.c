/*
 * Why forms: what a record says it is, is not measured. Whoever can boot something evil can give
 * its record another type and other data, as long as the digest stays. So a rule that waives a
 * record must make sure that the digest cannot be that of anything that matters: it must be the
 * digest of the data shown, and the data must look like nothing but what the rule is about. A PE
 * image begins with "MZ", an initramfs with a magic number, a command line with a path: none of
 * them has any of these forms.
 */
#include "appraise/record.h"

#include <string.h>

#define COMMAND_MAX ((size_t)64 << 10)

bool form_separator(const struct event *e)
{
    static const uint8_t zeros[4] = {0};
    return bytes_equal(e->data, BYTES_OF(zeros)) && record_measures(e, e->data);
}

bool form_partitions(const struct event *e)
{
    return bytes_start_with(e->data, "EFI PART") && record_measures(e, e->data);
}

bool form_byte(const struct event *e)
{
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        if (record_measures(e, BYTES(&byte, 1)))
            return true;
    }
    return false;
}

bool form_action(const struct event *e)
{
    static const char *const actions[] = {
        "Calling EFI Application from Boot Option",
        "Returning from EFI Application from Boot Option",
        "Exit Boot Services Invocation",
        "Exit Boot Services Returned with Failure",
        "Exit Boot Services Returned with Success",
    };
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (bytes_equal(e->data, BYTES_STR(actions[i])))
            return record_measures(e, e->data);
    return false;
}

/*
 * Commands whose whole effect is measured again: files that they read have records of their own,
 * and kernel, command line and initramfs are compared. Commands that touch memory, devices or
 * tables, or start other programs, are not here, and neither is any that an honest configuration
 * has no use for.
 */
static const char *const harmless[] = {
    "[",
    "background_color",
    "boot",
    "clear",
    "configfile",
    "echo",
    "export",
    "false",
    "gfxmode",
    "initrd",
    "initrdefi",
    "initrdfail",
    "insmod",
    "linux",
    "linuxefi",
    "load_env",
    "load_video",
    "loadfont",
    "menuentry",
    "normal",
    "probe",
    "recordfail",
    "regexp",
    "save_env",
    "savedefault",
    "search",
    "search.file",
    "search.fs_label",
    "search.fs_uuid",
    "serial",
    "set",
    "setparams",
    "sleep",
    "source",
    "submenu",
    "terminal_input",
    "terminal_output",
    "test",
    "true",
    "unset",
};

static bool is_word(struct bytes word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(word, BYTES_STR(list[i])))
            return true;
    return false;
}

static bool is_letter(uint8_t c)
{
    return c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* NAME=…: as GRUB's own names, never beginning with a digit. "070701…=" would be a cpio archive,
 * of which kernels have taken some whose bytes are all printable. */
static bool is_assignment(struct bytes word)
{
    size_t i = 0;
    while (i < word.size &&
           (is_letter(word.data[i]) || (i > 0 && word.data[i] >= '0' && word.data[i] <= '9')))
        i++;
    return i > 0 && i < word.size && word.data[i] == '=';
}

static bool is_printable(struct bytes text, bool lines)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if ((c < 0x20 && !(lines && (c == '\n' || c == '\t'))) || c == 0x7f)
            return false;
    }
    return true;
}

static struct bytes first_word(struct bytes text)
{
    size_t n = 0;
    while (n < text.size && text.data[n] != ' ' && text.data[n] != '\n' && text.data[n] != '\t')
        n++;
    return BYTES(text.data, n);
}

/* One file: with "newc:" GRUB would build an archive of files of any content and name, and would
 * put several files one behind the other. */
static bool is_plain_initrd(struct bytes arguments)
{
    return arguments.size > 0 && !memchr(arguments.data, ' ', arguments.size) &&
           !bytes_start_with(arguments, "newc:");
}

/* A port at an address in memory (GRUB 2.12, term/serial.c) would write there what is put out. */
static bool is_plain_serial(struct bytes arguments)
{
    return arguments.size == 0 || !memmem(arguments.data, arguments.size, "mmio", 4);
}

/*
 * "menuentry … { … }" and nothing behind the brace that ends the block. A configuration file that
 * begins like one is measured by the same digest, into the same register; what follows the block in
 * it must not pass as a command. GRUB's quotes: nothing counts between '…'; "…" and \ hide one.
 */
static bool is_one_block(struct bytes text)
{
    size_t depth = 0;
    uint8_t quote = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '\\' && quote != '\'')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else if (c == '{')
            depth++;
        else if (c == '}' && (depth == 0 || --depth == 0))
            return i + 1 == text.size;
    }
    return false;
}

bool form_grub_command(const struct event *e)
{
    static const char *const blocks[] = {"menuentry", "submenu"};
    static const char *const initrds[] = {"initrd", "initrdefi"};
    struct bytes command;
    if (!record_command(e, &command) || command.size > COMMAND_MAX || !record_measures(e, command))
        return false;
    if (bytes_start_with(command, "! ")) /* inverts the result, which nobody measures */
        command = bytes_from(command, 2);
    struct bytes word = first_word(command);
    bool block = is_word(word, blocks, ARRAY_SIZE(blocks));
    if (!is_printable(command, block) || (block && !is_one_block(command)))
        return false;
    if (is_word(word, initrds, ARRAY_SIZE(initrds)))
        return is_plain_initrd(bytes_from(command, word.size + 1));
    if (bytes_equal(word, BYTES_STR("serial")))
        return is_plain_serial(bytes_from(command, word.size));
    return is_word(word, harmless, ARRAY_SIZE(harmless)) || is_assignment(word);
}
