import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;

/** Looks a name up, waits, and looks it up again, as any Java program does: a line of addresses for each. */
class Lookup {
    public static void main(String[] words) throws Exception {
        for (int time = 0; time < Integer.parseInt(words[1]); time++) {
            if (time > 0) {
                Thread.sleep(Long.parseLong(words[2]));
            }
            try {
                StringBuilder line = new StringBuilder();
                for (InetAddress address : InetAddress.getAllByName(words[0])) {
                    line.append(line.length() == 0 ? "" : " ").append(address.getHostAddress());
                }
                System.out.println(line);
                System.out.println("socket " + new InetSocketAddress(words[0], 80).getAddress().getHostAddress());
            } catch (UnknownHostException error) {
                System.out.println("error");
            }
        }
    }
}
