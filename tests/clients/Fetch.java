// Sends a request by Java's HttpClient, which asks each plain HTTP server for HTTP/2 (Upgrade: h2c). Arguments: the
// address, and for a POST also its content type and the file of its body. Prints the status and the body in hexadecimal.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

public class Fetch {
    public static void main(String[] arguments) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0]));
        if (arguments.length > 1) {
            request.header("content-type", arguments[1]).POST(BodyPublishers.ofFile(Path.of(arguments[2])));
        }
        HttpResponse<byte[]> response = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofByteArray());
        StringBuilder text = new StringBuilder();
        for (byte each : response.body()) {
            text.append(String.format("%02x", each));
        }
        System.out.println(response.statusCode() + " " + text);
    }
}
