/* Owns what Python sees of the search. Numbers are passed as bytes, the least significant first. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include <crypto_mb/version.h>

#include "search.h"
#include "sieve.h"

static PyObject *raise_outcome(SearchOutcome outcome)
{
    switch (outcome) {
    case SEARCH_NO_MEMORY:
        return PyErr_NoMemory();
    case SEARCH_NO_RANDOM:
        PyErr_SetString(PyExc_OSError, "the system gives no random bytes");
        return NULL;
    case SEARCH_AFTER_FORK:
        PyErr_SetString(PyExc_RuntimeError, "the search was begun by another process");
        return NULL;
    default:
        PyErr_SetString(PyExc_RuntimeError, "crypto_mb reports an error");
        return NULL;
    }
}

static PyObject *bytes_and_wipe(void *memory, size_t count)
{
    PyObject *result = PyBytes_FromStringAndSize(memory, (Py_ssize_t)count);
    explicit_bzero(memory, count);
    return result;
}

/* Search: one at a time may use it, because the interpreter's lock is released meanwhile. */

typedef struct {
    PyObject_HEAD
    Search *search;
    int in_use;
} SearchObject;

static PyObject *search_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    if (PyTuple_GET_SIZE(args) != 0 || (keywords != NULL && PyDict_GET_SIZE(keywords) != 0)) {
        PyErr_SetString(PyExc_TypeError, "Search takes no arguments");
        return NULL;
    }
    if (!search_is_applicable()) {
        PyErr_SetString(PyExc_RuntimeError, "the processor has no AVX512-IFMA");
        return NULL;
    }
    sieve_prepare();
    SearchObject *self = (SearchObject *)type->tp_alloc(type, 0);
    if (self != NULL && (self->search = search_begin()) == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void search_dealloc(PyObject *object)
{
    SearchObject *self = (SearchObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->search != NULL)
        search_end(self->search);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *search_pair(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SearchObject *self = (SearchObject *)object;
    uint64_t primes[2][WORDS];
    SearchOutcome outcome;
    if (self->in_use) {
        PyErr_SetString(PyExc_RuntimeError, "the search is in use by another thread");
        return NULL;
    }
    self->in_use = 1;
    Py_BEGIN_ALLOW_THREADS
    outcome = search_find(self->search, 2, primes);
    Py_END_ALLOW_THREADS
    self->in_use = 0;
    PyObject *result = bytes_and_wipe(primes, sizeof primes);
    if (outcome == SEARCH_FOUND)
        return result;
    Py_XDECREF(result);
    return raise_outcome(outcome);
}

static PyMethodDef search_methods[] = {
    {"pair", search_pair, METH_NOARGS, "Return two independent primes of 1024 bits, 128 bytes each."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot search_slots[] = {
    {Py_tp_new, search_new},
    {Py_tp_dealloc, search_dealloc},
    {Py_tp_methods, search_methods},
    {Py_tp_doc, "A search for primes; holds eight candidates, in memory that a fork does not get."},
    {0, NULL},
};

static PyType_Spec search_spec = {
    .name = "thingmint_ifma._native.Search",
    .basicsize = sizeof(SearchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = search_slots,
};

/* For the self-test: the same exponentiations, rounds and sieve with numbers that the caller chooses. */

/* Copy eight numbers of `size` bytes in all; raise ValueError for another length. */
static int read_lanes(const Py_buffer *buffer, uint64_t lanes[LANES][WORDS])
{
    if (buffer->len != LANES * BYTES) {
        PyErr_SetString(PyExc_ValueError, "eight numbers of 128 bytes each are needed");
        return -1;
    }
    memcpy(lanes, buffer->buf, LANES * BYTES);
    return 0;
}

static uint8_t *new_scratch(void)
{
    if (!search_is_applicable()) {
        PyErr_SetString(PyExc_RuntimeError, "the processor has no AVX512-IFMA");
        return NULL;
    }
    uint8_t *scratch = PyMem_RawMalloc((size_t)scratch_bytes());
    if (scratch == NULL)
        PyErr_NoMemory();
    return scratch;
}

static PyObject *module_powers(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer given[3];
    uint64_t lanes[3][LANES][WORDS], results[LANES][WORDS];
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*", &given[0], &given[1], &given[2]))
        return NULL;
    int unread = 0;
    for (int number = 0; number < 3 && !unread; number++)
        unread = read_lanes(&given[number], lanes[number]);
    uint8_t *scratch = unread ? NULL : new_scratch();
    if (scratch != NULL) {
        SearchOutcome outcome = powers(results, (const uint64_t(*)[WORDS])lanes[0], (const uint64_t(*)[WORDS])lanes[1],
                                       (const uint64_t(*)[WORDS])lanes[2], scratch);
        PyMem_RawFree(scratch);
        result = outcome == SEARCH_FOUND ? bytes_and_wipe(results, sizeof results) : raise_outcome(outcome);
    }
    for (int number = 0; number < 3; number++)
        PyBuffer_Release(&given[number]);
    return result;
}

static PyObject *verdicts_of(const Round rounds[LANES])
{
    PyObject *result = PyTuple_New(LANES);
    for (int lane = 0; lane < LANES && result != NULL; lane++)
        PyTuple_SET_ITEM(result, lane, PyBool_FromLong(rounds[lane].verdict == PASSED));
    return result;
}

static PyObject *module_rounds(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer given[2];
    uint64_t lanes[2][LANES][WORDS];
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*", &given[0], &given[1]))
        return NULL;
    uint8_t *scratch = NULL;
    if (read_lanes(&given[0], lanes[0]) == 0 && read_lanes(&given[1], lanes[1]) == 0)
        scratch = new_scratch();
    if (scratch != NULL) {
        Round rounds[LANES] = {0};
        for (int lane = 0; lane < LANES; lane++) {
            memcpy(rounds[lane].modulus, lanes[0][lane], BYTES);
            memcpy(rounds[lane].base, lanes[1][lane], BYTES);
            rounds[lane].halvings = 1;
        }
        SearchOutcome outcome = rounds_decide(rounds, scratch);
        PyMem_RawFree(scratch);
        result = outcome == SEARCH_FOUND ? verdicts_of(rounds) : raise_outcome(outcome);
    }
    PyBuffer_Release(&given[0]);
    PyBuffer_Release(&given[1]);
    return result;
}

static PyObject *module_sieve(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer given;
    uint64_t candidate[WORDS];
    if (!PyArg_ParseTuple(args, "y*", &given))
        return NULL;
    int is_number = given.len == BYTES;
    if (is_number)
        memcpy(candidate, given.buf, BYTES);
    PyBuffer_Release(&given);
    if (!is_number || !search_is_applicable()) {
        PyErr_SetString(PyExc_ValueError, "a number of 128 bytes, and a processor with AVX512-IFMA, are needed");
        return NULL;
    }
    sieve_prepare();
    return PyBool_FromLong(sieve_passes(candidate));
}

static PyObject *module_applicable(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(search_is_applicable());
}

static PyObject *module_version(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(mbx_getversion()->strVersion);
}

static PyMethodDef module_methods[] = {
    {"applicable", module_applicable, METH_NOARGS, "Return whether the processor has AVX512-IFMA."},
    {"version", module_version, METH_NOARGS, "Return the name and version of the linked library."},
    {"powers", module_powers, METH_VARARGS, "Return base^exponent modulo modulus for eight of each."},
    {"rounds", module_rounds, METH_VARARGS, "Return whether each of eight moduli passes a Miller-Rabin round."},
    {"sieve", module_sieve, METH_VARARGS, "Return whether an odd number passes trial division."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &search_spec, NULL);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "thingmint_ifma._native",
    .m_doc = "A search for primes with Intel's crypto_mb.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
