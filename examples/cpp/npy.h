// numpy's .npy files: a line of Python that says type and shape, and the elements in C order.
#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Npy {
    std::string type;  // as numpy has it: "<f4" is float32
    std::vector<int64_t> shape;
    std::vector<char> data;
};

inline std::vector<char> read_file(std::string const& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::vector<char> content(static_cast<size_t>(file.tellg()));
    file.seekg(0);
    if (!file.read(content.data(), static_cast<std::streamsize>(content.size())))
        throw std::runtime_error("cannot read " + path);
    return content;
}

// What stands between two marks of a header.
inline std::string between(std::string const& text, std::string const& left, char right) {
    auto const at = text.find(left);
    auto const end = at == std::string::npos ? at : text.find(right, at + left.size());
    if (end == std::string::npos) throw std::runtime_error("no .npy header: " + text);
    return text.substr(at + left.size(), end - at - left.size());
}

inline Npy read_npy(std::string const& path) {
    auto const content = read_file(path);
    auto const byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(content[i])); };
    if (content.size() < 10 || std::string(content.data(), 6) != "\x93NUMPY" || byte(6) != 1)
        throw std::runtime_error(path + " is no .npy file of version 1; write it with numpy.save");
    size_t const start = 10 + byte(8) + (byte(9) << 8);
    if (start > content.size()) throw std::runtime_error(path + " ends within its header");
    std::string const header(content.data() + 10, start - 10);
    if (header.find("'fortran_order': False") == std::string::npos)
        throw std::runtime_error(path + " is in Fortran's order; save numpy.ascontiguousarray(x)");
    Npy array{between(header, "'descr': '", '\''), {}, {content.begin() + static_cast<long>(start), content.end()}};
    std::string size;
    for (char const c : between(header, "'shape': (", ')') + ",") {
        if (c != ',') { size += c; continue; }
        if (size.find_first_not_of(' ') != std::string::npos) array.shape.push_back(std::stoll(size));
        size.clear();
    }
    return array;
}

inline void write_npy(std::string const& path, Npy const& array) {
    std::string header = "{'descr': '" + array.type + "', 'fortran_order': False, 'shape': (";
    for (auto const size : array.shape) header += std::to_string(size) + ",";
    header += "), }";
    header.append(63 - (10 + header.size()) % 64, ' ');  // the elements start at a multiple of 64
    header += '\n';
    std::ofstream file(path, std::ios::binary);
    file << "\x93NUMPY\x01" << '\0' << static_cast<char>(header.size() & 255)
         << static_cast<char>(header.size() >> 8) << header;
    file.write(array.data.data(), static_cast<std::streamsize>(array.data.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}
